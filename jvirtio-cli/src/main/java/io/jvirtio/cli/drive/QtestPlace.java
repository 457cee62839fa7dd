// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.driver.DriverTransport;
import io.jvirtio.linux.LinuxException;
import io.jvirtio.qtest.QtestDevice;
import io.jvirtio.qtest.QtestMachine;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.transport.RegisterTransport;
import io.jvirtio.transport.mmio.MmioDriverTransport;
import io.jvirtio.transport.pci.PciDriverOptions;
import io.jvirtio.transport.pci.PciDriverOptions.Choice;
import io.jvirtio.transport.pci.PciDriverTransport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Collectors;

/**
 * In a QEMU that runs no guest, on PCI or virtio-mmio.
 *
 * @param socket where QEMU listens
 * @param memory the file of its RAM
 * @param address which device; null for the only one
 * @param driver how to drive one on PCI
 * @param timeout the longest wait for an answer
 */
record QtestPlace(
    Path socket, Path memory, String address, PciDriverOptions driver, Duration timeout)
    implements Place {

  @Override
  public Link connect(DeviceType type, Need need) throws CliException {
    QtestMachine machine = machine();
    boolean done = false;
    try {
      DriverTransport transport = open(machine, choose(machine, type));
      done = true;
      return new Link(transport, machine::close);
    } catch (IOException e) {
      throw connecting(e);
    } finally {
      if (!done) {
        machine.close();
      }
    }
  }

  /** Connects to QEMU. */
  QtestMachine machine() throws CliException {
    if (!Files.isRegularFile(memory)) {
      throw new CliException(
          (Files.exists(memory) ? memory + " is no regular file" : "there is no file " + memory)
              + ": --memory names the mem-path of QEMU's memory-backend-file");
    }
    if (!Files.isReadable(memory) || !Files.isWritable(memory)) {
      throw new CliException(
          "not allowed to read and write " + memory + ": run as the user of QEMU");
    }
    try {
      return QtestMachine.connect(socket, memory, timeout);
    } catch (LinuxException e) {
      throw connecting(e);
    } catch (IOException e) {
      throw new CliException(
          connecting(e).getMessage() + " (--qtest names the socket of QEMU's -qtest)", e);
    }
  }

  /** Those that are meant, of any type; at least one. */
  List<QtestDevice> chosen(QtestMachine machine) throws CliException {
    List<QtestDevice> all = machine.devices();
    if (all.isEmpty()) {
      throw new CliException(
          "the QEMU at "
              + socket
              + " has no virtio device: add one to its command line, such as -device"
              + " virtio-rng-pci");
    }
    try {
      return address == null ? all : List.of(machine.device(address));
    } catch (IOException e) {
      throw new CliException(
          "the QEMU at " + socket + " has no virtio device at " + address + ", but: " + list(all),
          e);
    }
  }

  private QtestDevice choose(QtestMachine machine, DeviceType type) throws CliException {
    List<QtestDevice> devices = chosen(machine);
    List<QtestDevice> fitting =
        devices.stream().filter(device -> device.deviceId() == type.id()).toList();
    if (fitting.isEmpty()) {
      throw new CliException(
          address == null
              ? "the QEMU at " + socket + " has no block device, but: " + list(devices)
              : "the device at " + address + " is no block device, but: " + list(devices));
    }
    if (fitting.size() > 1) {
      throw new CliException(
          "the QEMU at "
              + socket
              + " has "
              + fitting.size()
              + " block devices: name one by --device: "
              + list(fitting));
    }
    return fitting.getFirst();
  }

  private static String list(List<QtestDevice> devices) {
    return devices.stream()
        .map(device -> device.address() + " (" + name(device.deviceId()) + ")")
        .collect(Collectors.joining(", "));
  }

  private static String name(int deviceId) {
    DeviceType type = DeviceType.of(deviceId);
    return type == null ? "device id " + deviceId : type.shortName();
  }

  /** A way to one of the devices. */
  RegisterTransport open(QtestMachine machine, QtestDevice device)
      throws IOException, CliException {
    boolean pci = device.bus() == QtestDevice.Bus.PCI;
    boolean wantsLegacy = driver.choice() == Choice.LEGACY;
    if (wantsLegacy && !device.legacy()) {
      throw new CliException(
          device.address()
              + " has no legacy interface: start QEMU with "
              + (pci
                  ? "disable-legacy=off for this device, on a PCI bus and not behind a root port"
                  : "-global virtio-mmio.force-legacy=on"));
    }
    if (!pci) {
      if (!driver.attempts().equals(PciDriverOptions.defaults().attempts())) {
        throw new CliException(
            device.address() + " is on virtio-mmio, with one interrupt: leave out --irq");
      }
      return new MmioDriverTransport(machine.openMmio(device));
    }
    return new PciDriverTransport(machine.openPci(device), driver);
  }

  @Override
  public CliException connecting(IOException e) {
    if (e instanceof LinuxException system) {
      return Refusals.system(
          system,
          socket,
          "start QEMU 10 or newer with -accel qtest -qtest unix:"
              + socket
              + ",server=on,wait=off; see jvirtio probe --help",
          "of QEMU's -qtest");
    }
    String text = Refusals.text(e);
    return new CliException(
        text.contains(socket.toString()) || text.contains(memory.toString())
            ? text
            : socket + ": " + text,
        e);
  }

  @Override
  public String toString() {
    return socket + (address == null ? "" : " (" + address + ")");
  }
}
