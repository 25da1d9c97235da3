import org.apache.spark.api.java.function.MapFunction;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Encoders;
import org.apache.spark.sql.SparkSession;
import scala.Tuple2;

/** Letters INPUT OUTPUT [RUNS]: the standard deviation of the 26 relative letter frequencies of each line, to Parquet. */
public class Letters {
  static double score(String text) {
    int[] counts = new int[26];
    int total = 0;
    for (int i = 0; i < text.length(); i++) {
      int letter = (text.charAt(i) | 32) - 'a';
      if (letter >= 0 && letter < 26) {
        counts[letter]++;
        total++;
      }
    }
    if (total == 0) return 0;
    double squares = 0;
    for (int count : counts) {
      double difference = (double) count / total - 1.0 / 26;
      squares += difference * difference;
    }
    return Math.sqrt(squares / 26);
  }

  public static void main(String[] args) {
    SparkSession spark = Run.session("letters");
    for (int run = 0; run < Run.runs(args); run++) {
      Run.timed("letters", () -> {
        Dataset<String> lines = spark.read().textFile(args[0]);
        MapFunction<String, Tuple2<String, Double>> score = line -> new Tuple2<>(line, score(line));
        lines.map(score, Encoders.tuple(Encoders.STRING(), Encoders.DOUBLE()))
            .toDF("text", "score")
            .write().mode("overwrite").parquet(args[1]);
      });
    }
    spark.stop();
  }
}
