// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The guests that the tests run: a kernel, and a QEMU of the same Debian generation. */
enum Machine {
  /** The kernel of Debian 12 in the host's own QEMU. */
  DEBIAN_12("QEMU", "KERNEL", "MODULES"),

  /** The kernel of Debian 13 in the QEMU of its backports. */
  DEBIAN_13("BIN", "KERNEL_NEW", "MODULES_NEW"),

  /** The kernel of Debian 13's backports, which takes VIRTIO_F_IN_ORDER, in their QEMU. */
  BACKPORTS("BIN", "KERNEL_NEWEST", "MODULES_NEWEST");

  private final String qemu;
  private final String kernel;
  private final String modules;

  Machine(String qemu, String kernel, String modules) {
    this.qemu = qemu;
    this.kernel = kernel;
    this.modules = modules;
  }

  /** The QEMU to start. */
  Path qemu() {
    Path path = Lab.path(qemu);
    return Files.isDirectory(path) ? path.resolve("qemu-system-x86_64") : path;
  }

  /** The kernel image. */
  Path kernel() {
    return Lab.path(kernel);
  }

  /** Whether this QEMU has a switch for VIRTIO_F_IN_ORDER. */
  boolean offersInOrder() {
    return this != DEBIAN_12;
  }

  /** Whether this kernel's driver takes VIRTIO_F_IN_ORDER when it is offered. */
  boolean takesInOrder() {
    return this == BACKPORTS;
  }

  /** How this QEMU's chardev is told to connect again every second: renamed in 9.2. */
  String reconnectOption() throws IOException, InterruptedException {
    String version =
        Host.run(qemu().toString(), "--version")
            .replaceFirst("(?s).*?version (\\d+\\.\\d+).*", "$1");
    String[] parts = version.split("\\.");
    int number = Integer.parseInt(parts[0]) * 100 + Integer.parseInt(parts[1]);
    return number >= 902 ? "reconnect-ms=1000" : "reconnect=1";
  }

  /**
   * The modules that a guest with virtio-blk over PCI and ext4 needs, in the order of insmod. What
   * the kernel has built in is not among them.
   */
  List<Path> modules(String... names) throws IOException {
    Path folder = Lab.path(modules);
    List<String> lines = Files.readAllLines(folder.resolve("modules.dep"));
    List<Path> order = new ArrayList<>();
    for (String name : names) {
      for (String line : lines) {
        String[] files = line.split(":? +|:$");
        if (files[0].endsWith("/" + name + ".ko")) {
          // A line names first the module, then what it needs, the most basic last.
          List<String> needed = Arrays.asList(files);
          Collections.reverse(needed);
          needed.stream().map(folder::resolve).filter(m -> !order.contains(m)).forEach(order::add);
        }
      }
    }
    return order;
  }
}
