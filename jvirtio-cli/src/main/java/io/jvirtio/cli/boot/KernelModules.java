// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where the modules of a kernel are. */
final class KernelModules {
  /** The setup header of an x86 kernel (Linux x86 boot protocol, offset 0x20E) and its base. */
  private static final int VERSION_POINTER = 0x20e;

  private static final int VERSION_BASE = 0x200;
  private static final int SETUP_SIZE = 1 << 16;

  private KernelModules() {}

  /** A folder {@code lib/modules/VERSION} with modules.dep, or null when none is found. */
  static Path find(Path kernel) throws IOException {
    String version = version(kernel);
    Path above = kernel.toAbsolutePath().normalize().getParent().getParent();
    if (version == null) {
      return null;
    }
    for (Path base : above == null ? new Path[0] : new Path[] {above, Path.of("/")}) {
      Path folder = base.resolve("lib/modules").resolve(version);
      if (Files.isReadable(folder.resolve("modules.dep"))) {
        return folder;
      }
    }
    return null;
  }

  /** The version that the kernel's header names, or null when it has none. */
  static String version(Path kernel) throws IOException {
    byte[] setup;
    try (InputStream in = Files.newInputStream(kernel)) {
      setup = in.readNBytes(SETUP_SIZE);
    }
    if (setup.length < VERSION_POINTER + 2) {
      return null;
    }
    int start =
        VERSION_BASE + ((setup[VERSION_POINTER] & 0xff) | (setup[VERSION_POINTER + 1] & 0xff) << 8);
    int end = start;
    while (end < setup.length && setup[end] > ' ') {
      end++;
    }
    return end == start || start >= setup.length
        ? null
        : new String(setup, start, end - start, StandardCharsets.US_ASCII);
  }
}
