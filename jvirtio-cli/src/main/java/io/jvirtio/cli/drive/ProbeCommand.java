// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Json;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Prints what a device says of itself. */
@Command(
    name = "probe",
    sortOptions = false,
    description = {
      "Show what a vhost-user device offers.",
      "",
      "Connects to any back-end, asks for features, queues and configuration, and leaves: it"
          + " accepts nothing, shares no memory and starts no queue. The protocol does not carry"
          + " the type of a device; without --device it is inferred.",
      "",
    },
    footer = {
      "",
      "Examples:",
      "  jvirtio probe --socket-path=/tmp/disk.sock",
      "  jvirtio probe --socket-path=/tmp/fs.sock --device=fs",
      "  jvirtio probe --socket-path=/tmp/disk.sock --json | jq .config.fields.capacity",
      "",
      "--json prints one object: socketPath; device, or null: id, name, inferred, and if so",
      "confidence (low, medium, high), points, reasons, runnersUp; queues and memorySlots, or",
      "null; features and protocolFeatures: bit, and name or null; config, or null: hex, fields.",
      "",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class ProbeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Mixin private SocketOptions socket;

  @Option(
      names = "--device",
      paramLabel = "TYPE",
      converter = DeviceTypes.class,
      description = "The type of the device, such as blk, net, fs, or its number.")
  private DeviceType type;

  @Option(names = "--json", description = "One JSON object on standard output.")
  private boolean json;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this and end.")
  private boolean help;

  /** For picocli. */
  public ProbeCommand() {}

  @Override
  public Integer call() throws CliException {
    socket.begin();
    Probe probe = probe();
    PrintWriter out = spec.commandLine().getOut();
    if (json) {
      out.println(Json.of(ProbeText.json(socket.socketPath, probe)));
    } else {
      ProbeText.lines(socket.socketPath, probe).forEach(out::println);
    }
    return 0;
  }

  private Probe probe() throws CliException {
    try (VhostUserTransport transport =
        VhostUserTransport.connect(
            socket.socketPath, type == null ? 0 : type.id(), Probe.quiet(socket.frontEnd()))) {
      return Probe.of(transport, type);
    } catch (IOException e) {
      throw Refusals.connecting(e, socket.socketPath);
    }
  }
}
