// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The guest's first file system: busybox, the modules for the disk, and what to do. */
final class Initramfs {
  private static final List<String> MODULES =
      List.of("virtio_pci", "virtio_blk", "crc32c_generic", "ext4");

  private Initramfs() {}

  /**
   * Writes one.
   *
   * @param target the file to write
   * @param busybox a static busybox
   * @param modules {@code lib/modules/VERSION}, or null for a kernel that needs none
   */
  static void write(Path target, Path busybox, Path modules) throws IOException, CliException {
    try (CpioWriter cpio =
        new CpioWriter(new BufferedOutputStream(Files.newOutputStream(target)))) {
      for (String folder : List.of("bin", "dev", "proc", "sys", "mnt", "modules")) {
        cpio.directory(folder);
      }
      cpio.characterDevice("dev/console", 5, 1);
      cpio.file("bin/busybox", 0755, Files.readAllBytes(busybox));
      cpio.file("init", 0755, script());
      StringBuilder order = new StringBuilder();
      for (String path : modules == null ? List.<String>of() : loadOrder(modules)) {
        String name = "modules/" + path.substring(path.lastIndexOf('/') + 1);
        cpio.file(name, 0644, Files.readAllBytes(modules.resolve(path)));
        order.append('/').append(name).append('\n');
      }
      cpio.file("modules.order", 0644, order.toString().getBytes(StandardCharsets.UTF_8));
    }
  }

  private static List<String> loadOrder(Path modules) throws IOException, CliException {
    List<String> paths = ModuleOrder.of(modules).load(MODULES);
    for (String path : paths) {
      if (!path.endsWith(".ko")) {
        throw new CliException(
            modules.resolve(path)
                + " is compressed, which busybox cannot load: unpack the modules, run depmod, or"
                + " give an initial RAM disk with --initrd");
      }
    }
    return paths;
  }

  private static byte[] script() throws IOException {
    try (InputStream in = Initramfs.class.getResourceAsStream("init")) {
      return in.readAllBytes();
    }
  }
}
