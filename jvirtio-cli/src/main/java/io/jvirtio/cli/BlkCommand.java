// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli;

import io.jvirtio.device.DeviceHost;
import io.jvirtio.vhost.VhostUserOptions;
import io.jvirtio.vhost.VhostUserServer;
import java.util.concurrent.Callable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * Serves a disk image by vhost-user until it is told to end (vhost-user, Back-end program
 * conventions).
 */
@Command(
    name = "blk",
    sortOptions = false,
    description = "Serve a disk image to a virtual machine, by vhost-user.",
    footer = {
      "",
      "Example: a disk of 1 GiB for QEMU. The guest's memory must be shared.",
      "",
      "  truncate -s 1G disk.img",
      "  jvirtio blk --socket-path=/tmp/blk.sock --blk-file=disk.img",
      "  qemu-system-x86_64 -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on \\",
      "    -machine memory-backend=mem \\",
      "    -chardev socket,id=c,path=/tmp/blk.sock,reconnect=1 \\",
      "    -device vhost-user-blk-pci,chardev=c ...",
      "",
      "When a front-end leaves, the next is served. SIGTERM ends the program with exit code 0;",
      "SIGHUP tells the guest the image's present size, a larger one is noticed without it.",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class BlkCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @ArgGroup(multiplicity = "1")
  private Endpoint endpoint;

  @Mixin private DiskOptions disk;
  @Mixin private RingOptions rings;
  @Mixin private ServerOptions how;

  @Option(
      names = "--print-capabilities",
      description = "Print what this program can do, as JSON, and end.")
  private boolean printCapabilities;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public BlkCommand() {}

  @Override
  public Integer call() throws CliException {
    VhostUserOptions options =
        VhostUserOptions.defaults()
            .withMode(how.mode())
            .withOneShot(how.oneShot())
            .withRingFeatures(rings.choice().of(DeviceHost.ringFeatures()));
    new DiskService(spec, endpoint, disk, how)
        .run("", device -> DeviceServer.of(new VhostUserServer(device, options)));
    return 0;
  }
}
