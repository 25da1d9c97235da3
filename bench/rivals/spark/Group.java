import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;
import scala.Tuple2;

/** Group INPUT OUTPUT [RUNS]: lines grouped by their first 6 characters; the number of groups, as text. */
public class Group {
  public static void main(String[] args) {
    SparkSession spark = Run.session("group");
    JavaSparkContext context = new JavaSparkContext(spark.sparkContext());
    for (int run = 0; run < Run.runs(args); run++) {
      String output = args[1] + "/run-" + run;
      Run.timed("group", () -> {
        long groups = context.textFile(args[0])
            .mapToPair(line -> new Tuple2<>(line.substring(0, Math.min(6, line.length())), line))
            .groupByKey()
            .count();
        context.parallelize(java.util.List.of(groups), 1).saveAsTextFile(output);
        System.out.println("groups " + groups);
      });
    }
    spark.stop();
  }
}
