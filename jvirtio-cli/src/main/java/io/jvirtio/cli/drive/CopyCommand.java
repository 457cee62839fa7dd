// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.RingOptions;
import io.jvirtio.cli.drive.Disks.OpenDisk;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Copies a block device to a file, or a file to a block device. */
@Command(
    name = "copy",
    sortOptions = false,
    description = {
      "Copy a block device to a file, or with --to-device a file to a block device.",
      "",
      "Zeroes become holes of the file, which gets the size of the device; holes and zeroes of a"
          + " file become zeroes of the device that take no space, if it can do that. A file may"
          + " be smaller than the device, whose rest stays as it is.",
      "",
    },
    footer = {
      "",
      "Examples:",
      "  jvirtio copy --socket-path=/tmp/disk.sock backup.img",
      "  jvirtio copy --socket-path=/tmp/disk.sock --to-device --verify backup.img",
      "  jvirtio copy --qtest=/tmp/q.sock --memory=/tmp/q.ram --device=00:05.0 backup.img",
      "",
      "How to start a QEMU for --qtest: jvirtio probe --help",
      "A new file appears under its name when it is complete; a copy that fails leaves none.",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class CopyCommand implements Callable<Integer> {
  private static final long MEMORY = 32 << 20;
  private static final int PAGE = 4096;

  @Spec private CommandSpec spec;

  @Mixin private DiskPlaceOptions options;

  @Parameters(
      index = "0",
      paramLabel = "FILE",
      description = "A file, or a block device of this machine.")
  private Path path;

  @Option(names = "--to-device", description = "Write FILE to the device, instead of the reverse.")
  private boolean toDevice;

  @Option(names = "--force", description = "Replace FILE if there is one.")
  private boolean force;

  @Mixin private RingOptions rings;

  @Option(names = "--verify", description = "Compare FILE and the device afterwards.")
  private boolean verify;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  private Cancel cancel;
  private Place place;

  /** For picocli. */
  public CopyCommand() {}

  @Override
  public Integer call() throws CliException {
    options.begin();
    if (path.toString().equals("-")) {
      throw new ParameterException(
          spec.commandLine(), "standard input and output cannot have holes: name a file");
    }
    if (toDevice && force) {
      throw new ParameterException(
          spec.commandLine(), "--force is about FILE, which --to-device only reads");
    }
    place = options.place();
    cancel = new Cancel();
    // The file first: nothing is asked of a device that has nothing to do.
    try (CopyFile file = toDevice ? CopyFile.source(path) : CopyFile.target(path, force)) {
      cancel.lastResort(file::discard);
      try {
        copy(file);
      } catch (CliException e) {
        throw new CliException(e.getMessage() + file.leftovers(), e);
      }
    }
    return 0;
  }

  private void copy(CopyFile file) throws CliException {
    try (EventLoop loop = Disks.loop(LoopMode.ADAPTIVE);
        Arena arena = Arena.ofConfined()) {
      cancel.onAsked(loop::wakeUp);
      Place.Need need = new Place.Need(MEMORY, MEMORY, 0);
      try (OpenDisk disk = Disks.open(place, need, BlkDriverOptions.of(loop), rings.choice())) {
        BlkDriver driver = disk.driver();
        if (toDevice) {
          write(driver, loop, file, arena);
        } else {
          read(driver, loop, file, arena);
        }
      }
    } catch (IOException e) {
      throw place.talking(e);
    }
  }

  private void read(BlkDriver driver, EventLoop loop, CopyFile file, Arena arena)
      throws IOException, CliException {
    long size = driver.capacity();
    file.prepare(size);
    long started = System.nanoTime();
    long data;
    try (Pipeline pipeline = new Pipeline(driver, loop, cancel);
        ProgressBar progress = bar("reading", size)) {
      FromDevice work = new FromDevice(file, size, progress);
      pipeline.run(work);
      data = work.written();
    }
    long took = System.nanoTime() - started;
    compare(driver, loop, file, size, arena);
    file.complete();
    summary("read from the device", size, data, "holes", took);
  }

  private void write(BlkDriver driver, EventLoop loop, CopyFile file, Arena arena)
      throws IOException, CliException {
    long size = file.size();
    if (driver.isReadOnly()) {
      throw new CliException("the device at " + place + " is read-only");
    }
    if (size > driver.capacity()) {
      throw new CliException(
          path
              + " has "
              + size
              + " bytes, but the device only "
              + driver.capacity()
              + ": nothing was written");
    }
    long block = driver.blockSize();
    long end = Math.min(driver.capacity(), (size + block - 1) / block * block);
    long started = System.nanoTime();
    long zeroes;
    try (Pipeline pipeline = new Pipeline(driver, loop, cancel);
        ProgressBar progress = bar("writing", end)) {
      ToDevice work =
          new ToDevice(driver, file, end, arena.allocate(Pipeline.chunk(driver), PAGE), progress);
      pipeline.run(work);
      zeroes = work.zeroes();
      driver.flush();
    } catch (IOException | CliException e) {
      throw new CliException(place.talking(e).getMessage() + "; the device is partly written", e);
    }
    long took = System.nanoTime() - started;
    compare(driver, loop, file, end, arena);
    summary("written to the device", size, end - zeroes, "zeroes", took);
    if (end < driver.capacity()) {
      out()
          .println(
              "The last " + Sizes.text(driver.capacity() - end) + " of the device are as before.");
    }
  }

  private void compare(BlkDriver driver, EventLoop loop, CopyFile file, long end, Arena arena)
      throws IOException, CliException {
    if (!verify) {
      return;
    }
    try (Pipeline pipeline = new Pipeline(driver, loop, cancel);
        ProgressBar progress = bar("comparing", end)) {
      pipeline.run(new Compare(file, end, arena.allocate(Pipeline.chunk(driver), PAGE), progress));
    }
  }

  private PrintWriter out() {
    return spec.commandLine().getOut();
  }

  private ProgressBar bar(String what, long total) {
    return new ProgressBar(spec.commandLine().getErr(), ProgressBar.isTerminal(), what, total);
  }

  private void summary(String what, long size, long data, String rest, long nanos) {
    double seconds = Math.max(nanos, 1) / 1e9;
    out()
        .println(
            String.format(
                Locale.ROOT,
                "%s %s in %.1f s, %s/s: %s of data, %s of %s%s",
                Sizes.text(size),
                what,
                seconds,
                Sizes.text((long) (size / seconds)),
                Sizes.text(data),
                Sizes.text(Math.max(0, size - data)),
                rest,
                verify ? "; verified" : ""));
  }
}
