// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;

/** Writes an initramfs: a cpio archive in the "newc" format, all owned by root. Not thread-safe. */
final class CpioArchive {
  private static final int FOLDER = 0040755;
  private static final int PROGRAM = 0100755;

  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final Set<String> folders = new HashSet<>();
  private int inode;

  /** Adds an executable file, and the folders above it. Names have no leading slash. */
  CpioArchive file(String name, byte[] content) {
    foldersAbove(name);
    entry(name, PROGRAM, content);
    return this;
  }

  /** Adds a copy of a file of the host. */
  CpioArchive file(String name, Path source) throws IOException {
    return file(name, Files.readAllBytes(source));
  }

  /** Adds an empty folder, and those above it. */
  CpioArchive folder(String name) {
    foldersAbove(name + "/");
    return this;
  }

  /** Ends the archive. */
  byte[] finish() {
    entry("TRAILER!!!", 0, new byte[0]);
    return out.toByteArray();
  }

  private void foldersAbove(String name) {
    for (int slash = name.indexOf('/'); slash > 0; slash = name.indexOf('/', slash + 1)) {
      String folder = name.substring(0, slash);
      if (folders.add(folder)) {
        entry(folder, FOLDER, new byte[0]);
      }
    }
  }

  private void entry(String name, int mode, byte[] content) {
    byte[] nameBytes = (name + "\0").getBytes(StandardCharsets.US_ASCII);
    int[] fields = {
      ++inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, nameBytes.length, 0,
    };
    StringBuilder header = new StringBuilder("070701");
    for (int field : fields) {
      header.append(String.format(Locale.ROOT, "%08x", field));
    }
    out.writeBytes(header.toString().getBytes(StandardCharsets.US_ASCII));
    out.writeBytes(nameBytes);
    pad();
    out.writeBytes(content);
    pad();
  }

  private void pad() {
    while (out.size() % 4 != 0) {
      out.write(0);
    }
  }
}
