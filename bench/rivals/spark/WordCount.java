import java.util.Arrays;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import scala.Tuple2;

/** WordCount INPUT OUTPUT [RUNS]: words between single spaces and their counts, as text. */
public class WordCount {
  public static void main(String[] args) {
    SparkSession spark = Run.session("wordcount");
    JavaSparkContext context = new JavaSparkContext(spark.sparkContext());
    for (int run = 0; run < Run.runs(args); run++) {
      String output = args[1] + "/run-" + run;
      Run.timed("wordcount", () -> context.textFile(args[0])
          .flatMap(line -> Arrays.asList(line.split(" ")).iterator())
          .filter(word -> !word.isEmpty())
          .mapToPair(word -> new Tuple2<>(word, 1L))
          .reduceByKey(Long::sum)
          .map(pair -> pair._1 + "\t" + pair._2)
          .saveAsTextFile(output));
    }
    spark.stop();
  }
}
