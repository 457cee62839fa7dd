// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.backends.ImageException;
import io.jvirtio.linux.Errno;
import io.jvirtio.linux.LinuxException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What is wrong with an image or a socket, and what to do about it. */
final class Hints {
  private static final int SECTOR = 512;

  private Hints() {}

  /** Adds to the back end's explanation what the user can do. */
  static CliException image(ImageException e, Path image, boolean readOnly, int blockSize) {
    return new CliException(e.getMessage() + advice(image, readOnly, blockSize), e);
  }

  private static String advice(Path image, boolean readOnly, int blockSize) {
    if (!Files.exists(image)) {
      return ": create it, such as with: truncate -s 1G " + image;
    }
    if (Files.isDirectory(image)) {
      return ": name an image file or a block device";
    }
    if (!Files.isReadable(image)) {
      return ": check its permissions (ls -l " + image + ")";
    }
    if (!readOnly && !Files.isWritable(image)) {
      return ": change its permissions, or add --read-only";
    }
    if (!Files.isRegularFile(image)) {
      return "";
    }
    long size = size(image);
    int unit = blockSize == 0 ? SECTOR : blockSize;
    if (size == 0) {
      return ": give it a size, such as with: truncate -s 1G " + image;
    }
    if (size > 0 && size % unit != 0) {
      return ": round it up with: truncate -s %" + unit + " " + image;
    }
    if (readOnly) {
      return ": end the program that writes it (fuser " + image + " finds it)";
    }
    return ": end that program (fuser " + image + " finds it), or let both read with --read-only";
  }

  private static long size(Path image) {
    try {
      return Files.size(image);
    } catch (IOException e) {
      return -1; // Then its size is not what was wrong.
    }
  }

  /** Explains why there can be no socket at a path. */
  static CliException socket(LinuxException e, Path path) {
    Path folder = path.toAbsolutePath().getParent();
    String text =
        switch (e.errno()) {
          case Errno.EADDRINUSE -> {
            boolean socket = Files.exists(path) && !Files.isRegularFile(path);
            yield socket && !Files.isDirectory(path)
                ? "socket path " + path + " is in use: end the server there, or name another path"
                : "socket path " + path + " exists and is not a socket: name another path";
          }
          case Errno.ENAMETOOLONG ->
              "socket path " + path + " is too long: at most 107 bytes, name a shorter path";
          case Errno.ENOENT, Errno.ENOTDIR ->
              "socket path " + path + ": there is no directory " + folder + ": create it first";
          case Errno.EACCES, Errno.EPERM ->
              "socket path " + path + ": not allowed to create it there: check " + folder;
          default -> "socket path " + path + ": " + e.getMessage();
        };
    return new CliException(text, e);
  }
}
