// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;

/** What the tests ask of the host: its programs, and facts about images. */
final class Host {
  private static final int DEADLINE_SECONDS = 60;

  private Host() {}

  /** Runs a program of the host to its end; fails unless its exit code is 0. Returns its output. */
  static String run(String... command) throws IOException, InterruptedException {
    Path log = Files.createTempFile("jvirtio-host", ".log");
    Process process = null;
    try {
      ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
      // mkfs.ext4 and its kin are not in every user's PATH.
      builder.environment().merge("PATH", ":/usr/sbin:/sbin", String::concat);
      builder.environment().put("LC_ALL", "C");
      command[0] = program(command[0]);
      process = builder.redirectOutput(log.toFile()).start();
      process.getOutputStream().close();
      boolean ended = process.waitFor(DEADLINE_SECONDS, TimeUnit.SECONDS);
      String output = Files.readString(log, StandardCharsets.ISO_8859_1);
      if (!ended || process.exitValue() != 0) {
        throw new AssertionError(
            String.join(" ", command)
                + (ended ? " ended with " + process.exitValue() : " did not end")
                + ":\n"
                + output);
      }
      return output;
    } finally {
      if (process != null) {
        process.destroyForcibly();
      }
      Files.deleteIfExists(log);
    }
  }

  // The search for the program itself takes the PATH of this JVM, not that of the environment
  // above.
  private static String program(String name) {
    for (String folder : new String[] {"/usr/sbin/", "/sbin/"}) {
      if (Files.isExecutable(Path.of(folder + name))) {
        return folder + name;
      }
    }
    return name;
  }

  /** A file of that many bytes, all of them a hole. */
  static Path image(Path folder, String name, long bytes) throws IOException {
    Path image = folder.resolve(name);
    Files.createFile(image);
    resize(image, bytes);
    return image;
  }

  /** Makes a file longer, by a hole. */
  static void resize(Path image, long bytes) throws IOException {
    try (var file = new RandomAccessFile(image.toFile(), "rw")) {
      file.setLength(bytes);
    }
  }

  /** How much storage a file takes, in bytes: st_blocks times 512. */
  static long allocated(Path image) throws IOException, InterruptedException {
    return Long.parseLong(run("stat", "-c", "%b", image.toString()).strip()) * 512;
  }

  /** The SHA-256 of a file, in hexadecimal as sha256sum prints it. */
  static String sha256(Path file) throws IOException {
    return sha256(Files.readAllBytes(file));
  }

  /** The SHA-256 of bytes, in hexadecimal as sha256sum prints it. */
  static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
  }

  /** Fails unless the file system in the image is clean and consistent. */
  static void assertCleanExt4(Path image) throws IOException, InterruptedException {
    run("e2fsck", "-fn", image.toString());
  }

  /** Takes a file out of the ext4 in an image without mounting it. */
  static byte[] readFromExt4(Path image, String name) throws IOException, InterruptedException {
    Path copy = Files.createTempFile("jvirtio-dump", "");
    try {
      run("debugfs", "-R", "dump " + name + " " + copy, image.toString());
      return Files.readAllBytes(copy);
    } finally {
      Files.delete(copy);
    }
  }

  /** The ASCII text at an offset of a file. */
  static String textAt(Path file, long offset, int length) throws IOException {
    try (var access = new RandomAccessFile(file.toFile(), "r")) {
      byte[] bytes = new byte[length];
      access.seek(offset);
      access.readFully(bytes);
      return new String(bytes, StandardCharsets.US_ASCII);
    }
  }
}
