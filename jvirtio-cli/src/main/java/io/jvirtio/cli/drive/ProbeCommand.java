// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.cli.Json;
import io.jvirtio.qtest.QtestDevice;
import io.jvirtio.qtest.QtestMachine;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.vhost.VhostUserTransport;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** Prints what a device says of itself. */
@Command(
    name = "probe",
    sortOptions = false,
    description = {
      "Show what a vhost-user device offers, the virtio devices of a QEMU, or that of a"
          + " vfio-user server.",
      "",
      "Connects to any back-end, asks for features, queues and configuration, and leaves: it"
          + " accepts nothing, shares no memory and starts no queue. The protocol does not carry"
          + " the type of a device; without --device it is inferred.",
      "",
      "With --qtest it finds QEMU's own devices on PCI (machines q35 and pc) and virtio-mmio"
          + " (microvm), as firmware and a driver would, and leaves them reset; with --vfio-user the"
          + " device of a server such as jvirtio pci blk.",
      "",
    },
    footer = {
      "",
      "Examples:",
      "  jvirtio probe --socket-path=/tmp/disk.sock",
      "  jvirtio probe --socket-path=/tmp/fs.sock --device=fs",
      "  jvirtio probe --vfio-user=/tmp/pci.sock",
      "  jvirtio probe --socket-path=/tmp/disk.sock --json | jq .config.fields.capacity",
      "",
      "A QEMU (10 or newer) that runs no guest, with a disk and its image:",
      "  qemu-system-x86_64 -M q35,memory-backend=m -m 64M -nodefaults -display none \\",
      "    -object memory-backend-file,id=m,size=64M,mem-path=/tmp/q.ram,share=on \\",
      "    -accel qtest -qtest unix:/tmp/q.sock,server=on,wait=off -qtest-log /dev/null \\",
      "    -blockdev driver=file,node-name=d,filename=disk.img \\",
      "    -device virtio-blk-pci,drive=d,addr=05.0 -device virtio-rng-pci",
      "  jvirtio probe --qtest=/tmp/q.sock --memory=/tmp/q.ram",
      "  jvirtio probe --qtest=/tmp/q.sock --memory=/tmp/q.ram --device=00:05.0 --json",
      "It does not end with the command: end it by its process id.",
      "",
      "--json prints one object. Of --socket-path: socketPath; device, or null: id, name,",
      "inferred, and if so confidence (low, medium, high), points, reasons, runnersUp; queues and",
      "memorySlots, or null; features and protocolFeatures: bit, and name or null; config, or",
      "null: hex, fields. Of --qtest: qtest, its path; devices, each with address, bus (pci,",
      "mmio), device (id, and name or null), interfaces (modern, transitional, legacy),",
      "askedByLegacy, msixVectors, pin or null, queueSizes, features, config. Of --vfio-user: one",
      "such device, whose address is the socket.",
      "",
      "Exit codes: 0 success, 1 failure, 2 wrong usage.",
    })
public final class ProbeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Mixin private PlaceOptions place;

  @Option(
      names = "--device",
      paramLabel = "TYPE|ADDRESS",
      description =
          "Of --socket-path, the type of the device, such as blk, net, fs, or its number. Of"
              + " --qtest, the address of the only device to show, such as 00:05.0 or 0xfeb00e00.")
  private String device;

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
    place.begin();
    PrintWriter out = spec.commandLine().getOut();
    if (place.isQtest()) {
      machine(place.qtest(device, PciDriverOptions.defaults()), out);
    } else if (place.isVhostUser()) {
      backEnd(place.vhostUser(), out);
    } else {
      place.require(device == null, "--device goes with --socket-path and --qtest only");
      Probe probe = place.vfioUser(PciDriverOptions.defaults()).probe();
      if (json) {
        out.println(Json.of(ProbeText.json(probe)));
      } else {
        ProbeText.lines(probe).forEach(out::println);
      }
    }
    return 0;
  }

  private void backEnd(VhostUserPlace at, PrintWriter out) throws CliException {
    Probe probe = probe(at, type());
    if (json) {
      out.println(Json.of(ProbeText.json(at.socket(), probe)));
    } else {
      ProbeText.lines(at.socket(), probe).forEach(out::println);
    }
  }

  private DeviceType type() {
    try {
      return device == null ? null : new DeviceTypes().convert(device);
    } catch (TypeConversionException e) {
      throw place.wrong("invalid value for option '--device': " + e.getMessage());
    }
  }

  private static Probe probe(VhostUserPlace at, DeviceType type) throws CliException {
    try (VhostUserTransport transport =
        VhostUserTransport.connect(
            at.socket(), type == null ? 0 : type.id(), Probe.quiet(at.frontEnd()))) {
      return Probe.of(transport, type);
    } catch (IOException e) {
      throw at.connecting(e);
    }
  }

  private void machine(QtestPlace at, PrintWriter out) throws CliException {
    List<Probe> probes = new ArrayList<>();
    try (QtestMachine machine = at.machine()) {
      for (QtestDevice one : at.chosen(machine)) {
        probes.add(BusProbe.ask(machine, one, at));
      }
    } catch (IOException e) {
      throw at.connecting(e);
    }
    if (json) {
      Map<String, Object> map = new LinkedHashMap<>();
      map.put("qtest", at.socket());
      map.put("devices", probes.stream().map(ProbeText::json).toList());
      out.println(Json.of(map));
      return;
    }
    for (int i = 0; i < probes.size(); i++) {
      if (i > 0) {
        out.println();
      }
      ProbeText.lines(probes.get(i)).forEach(out::println);
    }
  }
}
