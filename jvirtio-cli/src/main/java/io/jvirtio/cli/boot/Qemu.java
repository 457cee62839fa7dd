// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Json;
import io.jvirtio.cli.RingChoice;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The command line of QEMU. Immutable.
 *
 * @param program QEMU
 * @param accelerator kvm or tcg
 * @param kernel the guest's kernel
 * @param initrd its initial RAM disk
 */
record Qemu(Path program, String accelerator, Path kernel, Path initrd) {
  /** Memory of the guest in MiB. */
  private static final int MEMORY = 512;

  private static final Duration HELP_DEADLINE = Duration.ofSeconds(20);

  /**
   * The disk behind a socket.
   *
   * @param rings which features of the rings are offered to the guest
   * @param canInOrder whether QEMU has a switch for VIRTIO_F_IN_ORDER; without, it offers none
   * @param vfioUser whether the whole device is there, not only its queues
   */
  record Disk(Path socket, int queues, RingChoice rings, boolean canInOrder, boolean vfioUser) {
    private List<String> arguments() {
      if (vfioUser) {
        // Only as JSON can a socket be named.
        Map<String, Object> device = new LinkedHashMap<>();
        device.put("driver", "vfio-user-pci");
        device.put("socket", Map.of("type", "unix", "path", socket));
        return List.of("-device", Json.of(device));
      }
      return List.of("-chardev", "socket,id=disk,path=" + socket, "-device", vhostUser());
    }

    private String vhostUser() {
      return "vhost-user-blk-pci,chardev=disk,num-queues="
          + queues
          + ",packed="
          + RingChoice.word(rings.packed())
          + ",event_idx="
          + RingChoice.word(rings.eventIndex())
          + ",indirect_desc="
          + RingChoice.word(rings.indirect())
          + (canInOrder ? ",in_order=" + RingChoice.word(rings.inOrder()) : "");
    }
  }

  /**
   * Whether it has a switch for VIRTIO_F_IN_ORDER, which only newer ones have: others refuse to
   * start with an option that they do not know.
   *
   * @param scratch a folder for what it writes
   */
  boolean canInOrder(Path scratch) throws IOException, CliException, InterruptedException {
    return help(program, scratch, "vhost-user-blk-pci").contains(" in_order=");
  }

  /**
   * Whether a QEMU is a client of vfio-user, which only newer ones are.
   *
   * @param scratch a folder for what it writes
   */
  static boolean hasVfioUser(Path program, Path scratch)
      throws IOException, CliException, InterruptedException {
    return help(program, scratch, "vfio-user-pci").contains(" socket=");
  }

  private static String help(Path program, Path scratch, String device)
      throws IOException, CliException, InterruptedException {
    List<String> command = List.of(program.toString(), "-device", device + ",help");
    return Programs.run(scratch, HELP_DEADLINE, command).output();
  }

  /**
   * The command.
   *
   * @param append for the kernel's command line
   * @param disk null for none
   * @param interactive whether Ctrl-C belongs to the guest
   */
  List<String> command(String append, Disk disk, boolean interactive) {
    List<String> words = new ArrayList<>();
    words.add(program.toString());
    words.addAll(List.of("-accel", accelerator, "-m", Integer.toString(MEMORY)));
    if (accelerator.equals("tcg")) {
      // Seen once under QEMU 7.2: Linux 6.12 panicked right behind a cmpxchg16b, with the bits of a
      // pointer in its flags. Without that instruction it takes another way.
      words.addAll(List.of("-cpu", "qemu64,-cx16"));
    }
    words.addAll(List.of("-nodefaults", "-display", "none", "-no-reboot"));
    words.addAll(List.of("-kernel", kernel.toString(), "-initrd", initrd.toString()));
    words.addAll(List.of("-append", "console=ttyS0 quiet panic=-1 " + append));
    words.addAll(List.of("-chardev", "stdio,id=console,signal=" + (interactive ? "off" : "on")));
    words.addAll(List.of("-serial", "chardev:console"));
    if (disk != null) {
      // Both protocols work on memory that both processes map.
      words.addAll(List.of("-object", "memory-backend-memfd,id=mem,size=" + MEMORY + "M,share=on"));
      words.addAll(List.of("-machine", "memory-backend=mem"));
      words.addAll(List.of("-smp", Integer.toString(Math.min(disk.queues, 8))));
      words.addAll(disk.arguments());
    }
    return words;
  }
}
