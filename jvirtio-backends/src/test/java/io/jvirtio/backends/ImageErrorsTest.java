// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.backends;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Images that cannot be served: each with a message that says why. */
class ImageErrorsTest {
  @TempDir(factory = TargetFolder.class)
  Path folder;

  private static String message(RawFileOptions options) {
    return assertThrows(ImageException.class, () -> RawFileBackend.open(options)).getMessage();
  }

  private static long openDescriptors() throws IOException {
    try (var entries = Files.list(Path.of("/proc/self/fd"))) {
      return entries.count();
    }
  }

  @Test
  void missing() {
    Path path = folder.resolve("none.img");
    assertEquals(path + " does not exist", message(RawFileOptions.of(path)));
    assertEquals(path + " does not exist", message(RawFileOptions.of(path).withReadOnly(true)));
  }

  @Test
  void pathThroughAFile() throws IOException {
    Path file = Files.createFile(folder.resolve("file"));
    assertTrue(message(RawFileOptions.of(file.resolve("x"))).contains("not a directory"));
  }

  @Test
  void directory() {
    String expected = folder + " is a directory, not an image";
    assertEquals(expected, message(RawFileOptions.of(folder)));
    assertEquals(expected, message(RawFileOptions.of(folder).withReadOnly(true)));
  }

  @Test
  void notAFileAtAll() {
    Path device = Path.of("/dev/null");
    assertEquals(
        "/dev/null is neither a regular file nor a block device",
        message(RawFileOptions.of(device)));
  }

  @Test
  void empty() throws IOException {
    Path file = Files.createFile(folder.resolve("empty"));
    assertEquals(file + " is empty", message(RawFileOptions.of(file)));
  }

  @Test
  void sizeNoMultipleOfTheBlock() throws IOException {
    Path file = Files.write(folder.resolve("odd"), new byte[1000]);
    assertEquals(
        file + " has 1000 bytes, which is no multiple of the block size 512",
        message(RawFileOptions.of(file)));
    Files.write(file, new byte[4096 + 512]);
    assertEquals(
        file + " has 4608 bytes, which is no multiple of the block size 4096",
        message(RawFileOptions.of(file).withBlockSize(4096)));
    RawFileBackend.open(RawFileOptions.of(file)).close();
  }

  @Test
  void lockedByAnother() throws IOException {
    Path file = Files.write(folder.resolve("disk"), new byte[512]);
    RawFileOptions writer = RawFileOptions.of(file);
    RawFileOptions reader = writer.withReadOnly(true);
    RawFileBackend open = RawFileBackend.open(writer);
    assertEquals(file + " is in use by another program, which has locked it", message(writer));
    assertEquals(
        file + " is being written by another program, which has locked it", message(reader));
    open.close();
    RawFileBackend one = RawFileBackend.open(reader);
    RawFileBackend two = RawFileBackend.open(reader);
    assertTrue(message(writer).contains("in use"));
    one.close();
    two.close();
    RawFileBackend.open(writer).close();
  }

  @Test
  void nothingStaysOpen() throws IOException {
    Path file = Files.write(folder.resolve("odd"), new byte[1000]);
    message(RawFileOptions.of(file));
    long before = openDescriptors();
    for (int i = 0; i < 10; i++) {
      message(RawFileOptions.of(file));
      message(RawFileOptions.of(folder).withReadOnly(true));
      message(RawFileOptions.of(Path.of("/dev/null")));
    }
    assertEquals(before, openDescriptors());
  }

  @Test
  void blockSizeOption() {
    RawFileOptions options = RawFileOptions.of(folder);
    assertThrows(IllegalArgumentException.class, () -> options.withBlockSize(256));
    assertThrows(IllegalArgumentException.class, () -> options.withBlockSize(1000));
  }

  @Test
  void direct() throws IOException {
    Path file = Files.write(folder.resolve("disk"), new byte[4096]);
    try (RawFileBackend backend = RawFileBackend.open(RawFileOptions.of(file).withDirect(true))) {
      assertEquals(4096, backend.capacity());
      assertTrue(backend.logicalBlockSize() >= 512);
    }
    // The file systems of /proc know no direct input.
    Path proc = Path.of("/proc/self/status");
    String message = message(RawFileOptions.of(proc).withReadOnly(true).withDirect(true));
    assertEquals(proc + " is on a file system that cannot do direct input and output", message);
  }

  @Test
  void namesTheImage() throws IOException {
    Path file = Files.write(folder.resolve("disk"), new byte[4096]);
    try (RawFileBackend backend = RawFileBackend.open(RawFileOptions.of(file))) {
      assertEquals(file.toString(), backend.toString());
      assertEquals(io.jvirtio.linux.IoUring.isAvailable(), backend.usesIoUring());
    }
  }
}
