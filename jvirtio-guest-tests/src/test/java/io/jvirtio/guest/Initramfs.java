// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** Makes the first and only file system of a guest: busybox, modules, mkfs.ext4, a script. */
final class Initramfs {
  /** What the guest prints last when every command of the script has succeeded. */
  static final String DONE = "GUEST-DONE";

  /** What the guest prints last when a command of the script has failed. */
  static final String FAILED = "GUEST-FAILED";

  private static final Pattern LIBRARY = Pattern.compile("(/\\S+) \\(0x");

  private Initramfs() {}

  /**
   * Makes it.
   *
   * @param machine whose modules
   * @param moduleOptions options for modules, by their names
   * @param script commands for the guest's shell, which ends at the first that fails; {@code say
   *     name=value} tells the host a value
   */
  static byte[] make(Machine machine, String script, Map<String, String> moduleOptions)
      throws IOException, InterruptedException {
    CpioArchive archive = new CpioArchive();
    for (String folder : List.of("dev", "proc", "sys", "mnt", "tmp")) {
      archive.folder(folder);
    }
    archive.file("bin/busybox", Lab.path("BUSYBOX"));
    StringBuilder init = new StringBuilder("#!/bin/busybox sh\n");
    init.append("/bin/busybox --install -s /bin\n");
    init.append("export PATH=/bin\n");
    init.append("mount -t proc proc /proc; mount -t sysfs sysfs /sys\n");
    init.append("mount -t devtmpfs devtmpfs /dev\n");
    for (Path module : machine.modules("virtio_pci", "virtio_blk", "virtio-rng")) {
      String name = "modules/" + module.getFileName();
      archive.file(name, module);
      String option = module.getFileName().toString().replace(".ko", "");
      init.append("insmod /").append(name).append(' ');
      init.append(moduleOptions.getOrDefault(option, "")).append('\n');
    }
    init.append("if sh -eu /script; then echo ").append(DONE);
    init.append("; else echo ").append(FAILED).append("; dmesg | tail -n 30; fi\n");
    init.append("poweroff -f\n");
    archive.file("init", init.toString().getBytes(StandardCharsets.UTF_8));
    String prelude = "say() { echo \"@$*\"; }\n";
    archive.file("script", (prelude + script).getBytes(StandardCharsets.UTF_8));
    if (script.contains("mkfs.ext4")) {
      addMkfs(archive);
    }
    return archive.finish();
  }

  // busybox makes only ext2. The lab's Debian has the real one, with its libraries.
  private static void addMkfs(CpioArchive archive) throws IOException, InterruptedException {
    Path root = Lab.path("CHROOT");
    archive.file("bin/mkfs.ext4", root.resolve("usr/sbin/mke2fs").toRealPath());
    archive.file("etc/mke2fs.conf", root.resolve("etc/mke2fs.conf"));
    String enter = Lab.path("BIN").resolve("enter").toString();
    List<String> libraries =
        LIBRARY
            .matcher(Host.run(enter, "ldd", "/usr/sbin/mke2fs"))
            .results()
            .map((MatchResult result) -> result.group(1))
            .toList();
    for (String library : libraries) {
      // The folder's links are for its own root; only the last part of a library's path is one.
      Path file = root.resolve(library.substring(1));
      archive.file(library.substring(1), Files.readAllBytes(file));
    }
  }
}
