// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Whether guests run under KVM here, found by running one: a {@code /dev/kvm} may exist and still
 * hang a kernel. Remembered in the cache folder, for this QEMU and kernel.
 */
final class Accelerator {
  private static final Path KVM = Path.of("/dev/kvm");
  private static final Duration DEADLINE = Duration.ofSeconds(10);

  private Accelerator() {}

  /** "kvm" or "tcg". */
  static String pick(Lab lab, Path kernel, Path scratch, Progress progress)
      throws IOException, InterruptedException {
    if (!Files.isReadable(KVM) || !Files.isWritable(KVM)) {
      // Not remembered: a right may come tomorrow.
      return "tcg";
    }
    Path memory = lab.cache().resolve("accelerator");
    // After a boot of the host it may be another machine.
    String boot = Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip();
    String key = lab.qemu() + "\t" + kernel + "\t" + boot + "\t";
    List<String> lines = new ArrayList<>();
    if (Files.isReadable(memory)) {
      for (String line : Files.readAllLines(memory)) {
        if (line.startsWith(key)) {
          return line.substring(key.length()).equals("kvm") ? "kvm" : "tcg";
        }
        // Of another QEMU.
        if (line.contains("\t" + boot + "\t")) {
          lines.add(line);
        }
      }
    }
    progress.doing("trying KVM, at most " + Programs.seconds(DEADLINE));
    String accelerator = comesUp(lab, kernel, scratch) ? "kvm" : "tcg";
    try {
      lines.add(key + accelerator);
      Files.write(memory, lines);
    } catch (IOException e) {
      System.getLogger(Accelerator.class.getName())
          .log(System.Logger.Level.WARNING, "cannot remember the accelerator: {0}", e.getMessage());
    }
    progress.done(
        accelerator.equals("kvm")
            ? "KVM works"
            : "KVM does not bring a guest up here: emulating (TCG) from now on");
    return accelerator;
  }

  private static boolean comesUp(Lab lab, Path kernel, Path scratch)
      throws IOException, InterruptedException {
    Path initrd = scratch.resolve("probe.cpio");
    try {
      Initramfs.write(initrd, lab.busybox(), null);
      Qemu qemu = new Qemu(lab.qemu(), "kvm", kernel, initrd);
      try (Guest guest = Guest.start(qemu.command("jvirtio.mode=probe", null, false))) {
        guest.expect("up", "start", DEADLINE);
        return true;
      }
    } catch (CliException e) {
      return false;
    }
  }
}
