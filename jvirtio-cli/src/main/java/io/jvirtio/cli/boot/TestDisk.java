// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * A disk image with an ext4 file system and files whose checksums are known.
 *
 * @param image the file
 * @param files the checksum of each file in its folder {@code files}, by name
 */
record TestDisk(Path image, SortedMap<String, String> files) {
  private static final int FILES = 8;
  private static final int SMALLEST = 16 << 10;
  private static final Duration DEADLINE = Duration.ofSeconds(60);

  /** Makes one of 64 MiB. */
  static TestDisk create(Path scratch) throws IOException, CliException, InterruptedException {
    Path content = scratch.resolve("content");
    Path folder = Files.createDirectories(content.resolve("files"));
    SortedMap<String, String> files = new TreeMap<>();
    Random random = new Random();
    for (int i = 0; i < FILES; i++) {
      // 16 KiB to 2 MiB, and no multiple of a block.
      byte[] bytes = new byte[(SMALLEST << i) + 37 * i];
      random.nextBytes(bytes);
      Path file = Files.write(folder.resolve("file-" + i), bytes);
      files.put(file.getFileName().toString(), Checksums.of(file));
    }
    Path image = scratch.resolve("disk.img");
    Programs.Result made =
        Programs.run(
            scratch,
            DEADLINE,
            List.of("mkfs.ext4", "-q", "-F", "-d", content.toString(), image.toString(), "64M"));
    if (made.code() != 0) {
      throw new CliException("mkfs.ext4 failed: " + made.output());
    }
    return new TestDisk(image, files);
  }

  /** Checks the file system without changing it. */
  void check(Path scratch) throws IOException, CliException, InterruptedException {
    Programs.Result result =
        Programs.run(scratch, DEADLINE, List.of("e2fsck", "-f", "-n", image.toString()));
    if (result.code() != 0) {
      throw new CliException("the file system in the image is not clean: " + result.output());
    }
  }

  /** The checksum of a file in the image; of nothing when there is none. */
  String checksum(Path scratch, String file)
      throws IOException, CliException, InterruptedException {
    Path copy = scratch.resolve("from-image");
    Files.write(copy, new byte[0]);
    Programs.run(
        scratch, DEADLINE, List.of("debugfs", "-R", "dump " + file + " " + copy, image.toString()));
    return Checksums.of(copy);
  }
}
