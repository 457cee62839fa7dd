// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.transport.pci.PciOptions;
import io.jvirtio.vfio.VfioUserOptions;
import io.jvirtio.vfio.VfioUserServer;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Serves a disk image as a PCI function by vfio-user until it is told to end. */
@Command(
    name = "blk",
    sortOptions = false,
    description = {
      "Serve a disk image to a virtual machine as a whole PCI device, by vfio-user.",
      "",
      "Firmware and guests of any age see an ordinary virtio disk: its configuration space, its"
          + " registers and its interrupts are here, not in QEMU.",
      "",
    },
    footer = {
      "",
      "Example: a disk of 1 GiB for QEMU 10.1 or newer. QEMU comes second: it ends when",
      "nobody listens. The guest's memory should be shared (share=on): without a memory",
      "backend all goes over the socket, and with share=off the disk does not work.",
      "",
      "  truncate -s 1G disk.img",
      "  jvirtio pci blk --socket-path=/tmp/s --blk-file=disk.img",
      "  qemu-system-x86_64 -m 1G -machine q35,memory-backend=mem \\",
      "    -object memory-backend-memfd,id=mem,size=1G,share=on \\",
      "    -device '{\"driver\":\"vfio-user-pci\",\"bootindex\":0,",
      "              \"socket\":{\"path\":\"/tmp/s\",\"type\":\"unix\"}}' ...",
      "",
      "Drivers older than virtio 1.0 need --profile=transitional; newer take it too.",
      "When a client leaves, the next is served; QEMU does not connect again by itself.",
      "SIGTERM ends the program with exit code 0; SIGHUP tells the guest the image's",
      "present size, a larger one is noticed without it.",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class PciBlkCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @ArgGroup(multiplicity = "1")
  private Endpoint endpoint;

  @Mixin private DiskOptions disk;
  @Mixin private PciChoice.Given pci;
  @Mixin private RingOptions rings;
  @Mixin private ServerOptions how;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public PciBlkCommand() {}

  @Override
  public Integer call() throws CliException {
    PciChoice choice = pci.choice();
    PciOptions function = choice.options(choice.rings(rings.choice(), spec));
    VfioUserOptions options =
        VfioUserOptions.defaults().withMode(how.mode()).withOneShot(how.oneShot());
    new DiskService(spec, endpoint, disk, how)
        .run(
            "a PCI function, " + choice,
            device -> DeviceServer.of(new VfioUserServer(device, function, options)));
    return 0;
  }
}
