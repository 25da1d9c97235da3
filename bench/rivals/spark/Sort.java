import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;

/** Sort INPUT OUTPUT [RUNS]: whole lines in order, in 8 parts, as text. */
public class Sort {
  public static void main(String[] args) {
    SparkSession spark = Run.session("sort");
    JavaSparkContext context = new JavaSparkContext(spark.sparkContext());
    for (int run = 0; run < Run.runs(args); run++) {
      String output = args[1] + "/run-" + run;
      Run.timed("sort", () -> context.textFile(args[0]).sortBy(line -> line, true, 8).saveAsTextFile(output));
    }
    spark.stop();
  }
}
