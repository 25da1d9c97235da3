import org.apache.spark.sql.SparkSession;

/** What the programs share: a local session and a stopwatch on standard output. */
final class Run {
  private Run() {}

  static SparkSession session(String name) {
    return SparkSession.builder()
        .appName(name)
        .master(System.getProperty("spark.master", "local[2]"))
        .config("spark.ui.enabled", "false")
        .config("spark.hadoop.validateOutputSpecs", "false")
        .getOrCreate();
  }

  static void timed(String name, Runnable job) {
    long start = System.nanoTime();
    job.run();
    System.out.printf("%s %.2f s%n", name, (System.nanoTime() - start) / 1e9);
  }

  static int runs(String[] args) {
    return args.length > 2 ? Integer.parseInt(args[2]) : 1;
  }
}
