// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;

/** What the guest is to do, followed and checked step by step. Not thread-safe. */
final class Steps {
  private static final Duration START = Duration.ofSeconds(180);
  private static final Duration STEP = Duration.ofSeconds(120);
  private static final Duration END = Duration.ofSeconds(30);

  /** A guest with its user's own initial RAM disk may work for long. */
  private static final Duration OWN = Duration.ofMinutes(30);

  private static final int SECTOR = 512;
  private static final int CHUNK = 1 << 16;

  /** Of a disk of the user's, this much is compared: 64 MiB. */
  private static final int CHUNKS = 1024;

  private final BootOptions options;
  private final TestDisk made;
  private final Path image;
  private final Progress progress;
  private String written;

  /**
   * The steps.
   *
   * @param made the disk if it was made here, or null
   */
  Steps(BootOptions options, TestDisk made, Path image, Progress progress) {
    this.options = options;
    this.made = made;
    this.image = image;
    this.progress = progress;
  }

  /** Whether the guest must not write: a disk of the user's in a demonstration. */
  boolean readOnly() {
    return made == null && !options.interactive() && options.initrd() == null;
  }

  /** For the kernel's command line. */
  String kernelArguments() {
    if (options.interactive()) {
      return "jvirtio.mode=shell";
    }
    return made != null ? "jvirtio.mode=files" : "jvirtio.mode=read jvirtio.count=" + CHUNKS;
  }

  /** Whether the guest has written a file that can be looked for. */
  boolean wroteFile() {
    return written != null;
  }

  /** Follows a guest to its end. */
  void follow(Guest guest) throws CliException, InterruptedException {
    if (options.initrd() != null) {
      progress.doing("the guest runs");
      guest.awaitEnd(OWN);
      progress.done("guest: ended");
      return;
    }
    String[] kernel = guest.expect("up", "start of its first process", START);
    progress.done("guest: Linux " + kernel[0] + " is up");
    progress.doing("looking for the disk");
    String[] disk = guest.expect("disk", "find the disk", STEP);
    long mebibytes = Long.parseLong(disk[0]) * SECTOR >> 20;
    progress.done("guest: disk /dev/vda found, " + mebibytes + " MiB, " + disk[1] + " queue(s)");
    if (made != null) {
      followFiles(guest);
    } else {
      followReading(guest);
    }
    guest.expect("done", "end", STEP);
    progress.doing("waiting for the guest's end");
    guest.awaitEnd(END);
    progress.done("guest: powered off");
  }

  private void followReading(Guest guest) throws CliException, InterruptedException {
    progress.doing("reading");
    String[] read = guest.expect("read", "read the disk", STEP);
    String expected;
    try {
      expected = Checksums.of(image, (long) CHUNK * CHUNKS);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    if (!read[0].equals(expected)) {
      throw new CliException(
          "the guest read other data than the image has: checksum "
              + read[0]
              + " instead of "
              + expected);
    }
    progress.done("guest: disk read (at most 64 MiB), its checksum is the image's");
  }

  private void followFiles(Guest guest) throws CliException, InterruptedException {
    progress.doing("mounting");
    guest.expect("mounted", "mount the disk", STEP);
    progress.done("guest: mounted");
    progress.doing("reading files");
    for (int i = 0; i < made.files().size(); i++) {
      String[] read = guest.expect("read", "read file " + i, STEP);
      String expected = made.files().get(read[1]);
      if (!read[0].equals(expected)) {
        throw new CliException(
            "the guest read other data in "
                + read[1]
                + " than the host put there: checksum "
                + read[0]
                + " instead of "
                + expected);
      }
    }
    progress.done("guest: " + made.files().size() + " files read, all checksums are right");
    progress.doing("writing a file");
    String[] wrote = guest.expect("wrote", "write a file", STEP);
    progress.done("guest: file written, " + wrote[1] + " bytes");
    progress.doing("syncing");
    guest.expect("synced", "sync", STEP);
    progress.done("guest: synced");
    guest.expect("unmounted", "unmount the disk", STEP);
    progress.done("guest: unmounted");
    written = wrote[0];
  }

  /**
   * Compares what is in the image with what the guest wrote.
   *
   * @param found the checksum of the guest's file in the image
   */
  void verify(String found) throws CliException {
    if (!found.equals(written)) {
      throw new CliException(
          "what the guest wrote is not in the image: checksum " + found + " instead of " + written);
    }
    progress.done("host: file system is clean, and the guest's file is in the image");
  }
}
