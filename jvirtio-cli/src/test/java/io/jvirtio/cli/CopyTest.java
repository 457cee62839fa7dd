// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.backends.RawFileBackend;
import io.jvirtio.backends.RawFileOptions;
import io.jvirtio.devices.blk.BlkOptions;
import io.jvirtio.devices.blk.BlockCapabilities;
import io.jvirtio.devices.blk.MemoryBackend;
import io.jvirtio.linux.FileStatus;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code copy} there and back, against our own device. */
@Timeout(60)
class CopyTest {
  private static final int SIZE = 16 << 20;
  private static final int MIB = 1 << 20;

  @TempDir private Path folder;

  private Path image;
  private Path source;

  @BeforeEach
  void make() throws IOException {
    image = ServedDisk.sized(folder.resolve("disk.img"), SIZE);
    source = ServedDisk.sized(folder.resolve("source.img"), SIZE);
    // Data with holes before, between and behind it, some of it at odd places, and written zeroes.
    put(source, 3000, 9000);
    put(source, 2 * MIB, 70_000);
    put(source, 5 * MIB + 512, 3 * MIB);
    try (RandomAccessFile content = new RandomAccessFile(source.toFile(), "rw")) {
      content.seek(9 * MIB);
      content.write(new byte[MIB]);
    }
    put(source, SIZE - 700, 600);
  }

  private static void put(Path file, long at, int length) throws IOException {
    byte[] bytes = new byte[length];
    new Random(at).nextBytes(bytes);
    try (RandomAccessFile content = new RandomAccessFile(file.toFile(), "rw")) {
      content.seek(at);
      content.write(bytes);
    }
  }

  private static CommandRun copy(Path socket, Path file, String... options) {
    String[] args = new String[options.length + 3];
    args[0] = "copy";
    args[1] = "--socket-path=" + socket;
    args[2] = file.toString();
    System.arraycopy(options, 0, args, 3, options.length);
    return CommandRun.of(args);
  }

  private ServedDisk disk() throws IOException {
    return new ServedDisk(folder.resolve("s"), image);
  }

  private static long allocated(Path file) throws IOException {
    return FileStatus.of(file).allocated();
  }

  private void assertNothingLeft() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> left = files.filter(file -> file.toString().contains(".partial")).toList();
      assertEquals(List.of(), left);
    }
  }

  @Test
  void thereAndBack() throws IOException {
    // What the file's holes fall on must go.
    put(image, 12 * MIB, 2 * MIB);
    Path back = folder.resolve("back.img");
    try (ServedDisk disk = disk()) {
      copy(disk.path, source, "--to-device", "--verify")
          .assertOk()
          .assertPrints("16 MiB written to the device in ", " of zeroes; verified");
      copy(disk.path, back, "--verify")
          .assertOk()
          .assertPrints("16 MiB read from the device in ", " of holes; verified");
    }
    assertEquals(-1, Files.mismatch(source, image));
    assertEquals(-1, Files.mismatch(source, back));
    assertNothingLeft();
    // A file system that knows no holes has none to lose.
    if (allocated(source) < SIZE / 2) {
      assertTrue(allocated(image) < SIZE / 2, "the image has lost its holes");
      assertTrue(allocated(back) < SIZE / 2, "the copy has no holes");
    }
  }

  @ParameterizedTest
  @CsvSource({"false, false", "true, false", "false, true"})
  void zeroesWithoutWriteZeroes(boolean discard, boolean writeZeroes) throws IOException {
    MemoryBackend memory = new MemoryBackend(SIZE);
    byte[] old = new byte[4 * MIB];
    new Random(1).nextBytes(old);
    memory.write(10 * MIB, old);
    BlockCapabilities can = new BlockCapabilities(discard, writeZeroes, false, false);
    try (ServedDisk disk =
        new ServedDisk(
            folder.resolve("s"),
            new LimitedBackend(memory, can),
            BlkOptions.builder().discard(discard).build())) {
      copy(disk.path, source, "--to-device", "--verify").assertOk();
      Path content = folder.resolve("content");
      Files.write(content, memory.read(0, SIZE));
      assertEquals(-1, Files.mismatch(source, content));
    }
  }

  @Test
  void aShorterFileLeavesTheRest() throws IOException {
    put(image, 0, SIZE);
    Path before = Files.copy(image, folder.resolve("before"));
    Path small = ServedDisk.sized(folder.resolve("small"), 1_234_567);
    put(small, 100, 1_000_000);
    try (ServedDisk disk = disk()) {
      copy(disk.path, small, "--to-device", "--verify")
          .assertOk()
          .assertPrints("1.2 MiB written", "of the device are as before");
    }
    // The last sector is filled with zeroes.
    long end = (1_234_567 + 511) / 512 * 512;
    try (RandomAccessFile written = new RandomAccessFile(image.toFile(), "r");
        RandomAccessFile old = new RandomAccessFile(before.toFile(), "r")) {
      byte[] head = new byte[(int) end];
      written.readFully(head);
      byte[] expected = new byte[(int) end];
      System.arraycopy(Files.readAllBytes(small), 0, expected, 0, 1_234_567);
      assertEquals(-1, Arrays.mismatch(expected, head));
      byte[] rest = new byte[(int) (SIZE - end)];
      byte[] oldRest = new byte[rest.length];
      written.readFully(rest);
      old.seek(end);
      old.readFully(oldRest);
      assertEquals(-1, Arrays.mismatch(oldRest, rest));
    }
  }

  @Test
  void anExistingFileIsReplacedOnlyByForce() throws IOException {
    Path old = Files.writeString(folder.resolve("old"), "precious");
    try (ServedDisk disk = disk()) {
      copy(disk.path, old).assertFails(1, "exists", "--force");
      assertEquals("precious", Files.readString(old));
      copy(disk.path, old, "--force").assertOk();
      assertEquals(-1, Files.mismatch(image, old));
    }
  }

  @Test
  void symbolicLinksAreFollowed() throws IOException {
    Path old = Files.writeString(folder.resolve("old"), "old");
    Path link = Files.createSymbolicLink(folder.resolve("link"), old);
    try (ServedDisk disk = disk()) {
      copy(disk.path, link, "--force").assertOk();
      assertTrue(Files.isSymbolicLink(link));
      assertEquals(-1, Files.mismatch(image, old));
      copy(disk.path, link, "--to-device", "--verify").assertOk();
    }
  }

  @Test
  void sizesAreCheckedBeforeAnythingIsWritten() throws IOException {
    put(image, 0, SIZE);
    Path before = Files.copy(image, folder.resolve("before"));
    Path big = ServedDisk.sized(folder.resolve("big"), SIZE + 1);
    try (ServedDisk disk = disk()) {
      copy(disk.path, big, "--to-device")
          .assertFails(1, "has 16777217 bytes", "only 16777216", "nothing was written");
    }
    assertEquals(-1, Files.mismatch(before, image));
  }

  @Test
  void readOnlyDevice() throws IOException {
    try (ServedDisk disk =
        new ServedDisk(
            folder.resolve("s"),
            RawFileBackend.open(RawFileOptions.of(image).withReadOnly(true)),
            BlkOptions.builder().readOnly(true).build())) {
      copy(disk.path, source, "--to-device").assertFails(1, "is read-only");
      copy(disk.path, folder.resolve("out")).assertOk();
      assertEquals(-1, Files.mismatch(image, folder.resolve("out")));
    }
  }

  @Test
  void badFiles() throws IOException, InterruptedException {
    Path pipe = folder.resolve("pipe");
    assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
    try (ServedDisk disk = disk()) {
      copy(disk.path, folder).assertFails(1, "is a directory");
      copy(disk.path, folder, "--to-device").assertFails(1, "is a directory");
      copy(disk.path, pipe, "--to-device").assertFails(1, "neither a regular file nor");
      copy(disk.path, pipe, "--force").assertFails(1, "neither a regular file nor");
      copy(disk.path, folder.resolve("no/file")).assertFails(1, "there is no directory");
      copy(disk.path, folder.resolve("none"), "--to-device").assertFails(1, "there is no file");
      copy(disk.path, Path.of("/dev/null"), "--force").assertFails(1, "neither a regular file nor");
      copy(disk.path, Path.of("/dev/null"), "--to-device").assertFails(1, "neither a regular file");
      copy(disk.path, Path.of("-")).assertFails(2, "name a file");
      copy(disk.path, source, "--to-device", "--force").assertFails(2, "--force is about FILE");
    }
  }

  @Test
  void aFailureLeavesNoFile() throws IOException {
    copy(folder.resolve("s"), folder.resolve("out")).assertFails(1, "there is no socket");
    try (ScriptedBackEnd end = new ScriptedBackEnd(folder.resolve("s"), 1L << 32, 0, 4)) {
      copy(end.path, folder.resolve("out")).assertFails(1, "closed the connection");
    }
    assertTrue(Files.notExists(folder.resolve("out")));
    assertNothingLeft();
    assertNotEquals(-1, Files.mismatch(image, source));
  }
}
