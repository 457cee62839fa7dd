// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.boot;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

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

  /** The disk behind a socket. */
  record Disk(Path socket, int queues, boolean packed) {}

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
      // vhost-user works on memory that both processes map.
      words.addAll(List.of("-object", "memory-backend-memfd,id=mem,size=" + MEMORY + "M,share=on"));
      words.addAll(List.of("-machine", "memory-backend=mem"));
      words.addAll(List.of("-smp", Integer.toString(Math.min(disk.queues, 8))));
      words.addAll(List.of("-chardev", "socket,id=disk,path=" + disk.socket));
      words.addAll(
          List.of(
              "-device",
              "vhost-user-blk-pci,chardev=disk,num-queues="
                  + disk.queues
                  + (disk.packed ? ",packed=on" : "")));
    }
    return words;
  }
}
