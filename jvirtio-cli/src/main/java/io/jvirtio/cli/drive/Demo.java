// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.RingChoice;
import io.jvirtio.cli.drive.Disks.OpenDisk;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.FileStatus;
import io.jvirtio.linux.LoopMode;
import io.jvirtio.queue.DriverCounters;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/**
 * The demonstration: a disk image, the block device in another process, the driver in this one.
 * Leaves nothing behind, however it ends.
 */
final class Demo implements AutoCloseable {
  private static final String SERIAL = "jvirtio-demo";
  private static final long MEMORY = 32 << 20;
  private static final long LATENCY_NANOS = TimeUnit.MILLISECONDS.toNanos(1000);
  private static final long WARM_UP_NANOS = TimeUnit.MILLISECONDS.toNanos(300);
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final int DEPTH = 32;
  private static final int QUEUE_SIZE = 256;
  private static final int BLOCK = 4096;

  private final PrintWriter out;
  private final boolean terminal;
  private final long size;
  private final RingChoice rings;
  private final Cancel cancel;
  private final long started = System.nanoTime();
  private final DemoSummary summary = new DemoSummary();
  private final Path folder;
  private final Thread hook = new Thread(this::cleanUp, "clean-up");
  private volatile DemoServer server;

  /**
   * Makes the folder for the image.
   *
   * @param size of the disk in bytes, a multiple of 1 MiB
   * @param rings which features of the rings both sides may use
   */
  Demo(PrintWriter out, boolean terminal, long size, RingChoice rings, Cancel cancel)
      throws CliException {
    this.out = out;
    this.terminal = terminal;
    this.size = size;
    this.rings = rings;
    this.cancel = cancel;
    String parent =
        System.getenv().getOrDefault("TMPDIR", System.getProperty("java.io.tmpdir", "/tmp"));
    try {
      folder = Files.createTempDirectory(Path.of(parent), "jvirtio-demo-");
    } catch (IOException e) {
      throw new CliException(
          "cannot make a folder in " + parent + ": name another by TMPDIR (" + e.getMessage() + ")",
          e);
    }
    Runtime.getRuntime().addShutdownHook(hook);
    cancel.lastResort(this::cleanUp);
  }

  /** Does all of it, telling each step. */
  DemoSummary run() throws CliException, InterruptedException {
    Path image = makeImage();
    Path socket = folder.resolve("s");
    Place place = new VhostUserPlace(socket, PATIENCE);
    server = DemoServer.start(folder, socket, image, SERIAL, rings);
    say("device: process " + server.pid() + " serves a new image, " + Sizes.text(size));
    try (EventLoop loop = Disks.loop(LoopMode.ADAPTIVE)) {
      cancel.onAsked(loop::wakeUp);
      cancel.check();
      Place.Need need = new Place.Need(MEMORY, MEMORY, 0);
      try (OpenDisk disk = Disks.open(place, need, BlkDriverOptions.of(loop), rings)) {
        drive(disk.driver(), loop, image);
      }
    } catch (IOException e) {
      throw place.talking(e);
    }
    summary.device = server.stats();
    say("device: its process has ended, as it was to");
    return summary;
  }

  private Path makeImage() throws CliException {
    Path image = folder.resolve("disk.img");
    try {
      long room = Files.getFileStore(folder).getUsableSpace();
      if (room < size) {
        throw new CliException(
            folder.getParent()
                + " has room for "
                + Sizes.text(room)
                + " only: choose a smaller --size, or another folder by TMPDIR");
      }
      try (RandomAccessFile content = new RandomAccessFile(image.toFile(), "rw")) {
        content.setLength(size);
      }
      return image;
    } catch (IOException e) {
      throw new CliException("cannot make a disk image: " + e.getMessage(), e);
    }
  }

  private void drive(BlkDriver driver, EventLoop loop, Path image)
      throws IOException, CliException {
    identify(driver);
    summary.writeNanos = pass(driver, loop, TestPattern.Kind.WRITE, "writing");
    say("driver: " + Sizes.text(size) + " of pseudo-random numbers written");
    long before = System.nanoTime();
    driver.flush();
    summary.flushNanos = System.nanoTime() - before;
    say("driver: flushed");
    summary.verifyNanos = pass(driver, loop, TestPattern.Kind.VERIFY, "verifying");
    say("driver: read back, every byte is right");
    summary.alone = randomReads(driver, loop, 1);
    summary.depth = DEPTH;
    summary.together = randomReads(driver, loop, DEPTH);
    say("driver: " + (summary.alone.count() + summary.together.count()) + " random reads measured");
    discard(driver, loop, image);
    DriverCounters counters = driver.queue(0).counters();
    summary.sent = counters.notificationsSent();
    summary.suppressed = counters.notificationsSuppressed();
    summary.requests = counters.added();
  }

  private void identify(BlkDriver driver) throws IOException, CliException {
    summary.serial = driver.serial();
    summary.size = driver.capacity();
    summary.blockSize = driver.blockSize();
    summary.features = driver.features();
    if (!summary.serial.equals(SERIAL) || summary.size != size) {
      throw new CliException(
          "the device is not what it should be: serial \""
              + summary.serial
              + "\", "
              + summary.size
              + " bytes");
    }
    say(
        "driver: found a disk of "
            + Sizes.text(summary.size)
            + ", serial \""
            + summary.serial
            + "\", blocks of "
            + summary.blockSize
            + ", "
            + summary.features.size()
            + " features agreed on");
  }

  private long pass(BlkDriver driver, EventLoop loop, TestPattern.Kind kind, String what)
      throws IOException, CliException {
    long before = System.nanoTime();
    try (Pipeline pipeline = new Pipeline(driver, loop, cancel);
        ProgressBar progress = new ProgressBar(out, terminal, what, size)) {
      pipeline.run(new TestPattern(kind, size, progress));
    }
    return System.nanoTime() - before;
  }

  private Measurements randomReads(BlkDriver driver, EventLoop loop, int depth)
      throws IOException, CliException {
    Workload workload =
        new Workload(
            Workload.Pattern.RANDREAD,
            depth,
            QUEUE_SIZE,
            BLOCK,
            WARM_UP_NANOS,
            LATENCY_NANOS,
            1,
            false,
            LoopMode.ADAPTIVE);
    LoadLoop load = new LoadLoop(workload, driver, 0);
    cancel.onAsked(load::stop);
    Measurements measured = load.run(loop);
    driver.release(load.memory());
    cancel.check();
    return measured;
  }

  private void discard(BlkDriver driver, EventLoop loop, Path image)
      throws IOException, CliException {
    summary.allocatedBefore = FileStatus.of(image).allocated();
    driver.discard(0, size);
    driver.flush();
    summary.allocatedAfter = FileStatus.of(image).allocated();
    pass(driver, loop, TestPattern.Kind.VERIFY_ZEROES, "checking");
    say(
        "driver: discarded everything; the image takes "
            + Sizes.text(summary.allocatedAfter)
            + " and reads as zeroes");
  }

  private void say(String line) throws CliException {
    cancel.check();
    double seconds = (System.nanoTime() - started) / 1e9;
    out.println(String.format(Locale.ROOT, "%5.1f ", seconds) + line);
    out.flush();
  }

  private synchronized void cleanUp() {
    DemoServer running = server;
    if (running != null) {
      running.close();
    }
    for (String name : new String[] {"s", "disk.img", "stats.json", ""}) {
      try {
        Files.deleteIfExists(name.isEmpty() ? folder : folder.resolve(name));
      } catch (IOException e) {
        System.err.println("jvirtio demo: left behind: " + e.getMessage());
      }
    }
  }

  /** Ends the device's process and removes the folder. */
  @Override
  public void close() {
    cleanUp();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The process ends, and the hook finds nothing to do.
    }
  }
}
