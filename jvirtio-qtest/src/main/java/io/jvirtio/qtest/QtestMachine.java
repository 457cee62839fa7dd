// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.qtest;

import io.jvirtio.memory.DriverMemory;
import io.jvirtio.transport.RegisterWindow;
import io.jvirtio.transport.mmio.MmioAccess;
import io.jvirtio.transport.pci.PciAccess;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;

/**
 * An x86 machine that QEMU keeps without a processor that runs, for somebody to drive its devices:
 *
 * <pre>
 * qemu-system-x86_64 -M q35,memory-backend=m -m 64M -nodefaults -display none
 *   -object memory-backend-file,id=m,size=64M,mem-path=RAM,share=on
 *   -accel qtest -qtest unix:SOCKET,server=on,wait=off -qtest-log /dev/null
 *   -device virtio-rng-pci
 * </pre>
 *
 * <p>Machines pc and q35, with devices on PCI, also behind bridges and root ports; microvm, with
 * devices on virtio-mmio. This class is their firmware: it numbers buses and gives out addresses,
 * at each connection anew. QEMU needs to be 10 or newer. Its clock stands still; it does not end
 * with the session.
 *
 * <p>Thread-safe. Closing it ends what was opened through it.
 */
public final class QtestMachine implements AutoCloseable {
  private final QtestSession session;
  private final Path ram;
  private final QtestInterrupts interrupts;
  private final ConfigPorts config;
  private final List<PciSlot> slots;
  private final List<QtestMmio.Place> places;
  private final List<QtestDevice> devices;
  private final Set<String> open = new HashSet<>();
  private volatile QtestMemory memory;

  private QtestMachine(QtestSession session, Path ram) throws IOException {
    this.session = session;
    this.ram = ram;
    this.config = new ConfigPorts(session);
    this.slots = PciScan.run(config);
    this.places = QtestMmio.scan(session);
    this.devices = list();
    this.interrupts = new QtestInterrupts(session);
  }

  /**
   * Connects, and finds the devices.
   *
   * @param socket where QEMU listens
   * @param ram the file of its RAM; null when no device is to be opened
   * @param deadline the longest time that connecting, and each request, may take; positive
   * @throws IOException when there is no QEMU that answers
   */
  public static QtestMachine connect(Path socket, Path ram, Duration deadline) throws IOException {
    QtestSession session = QtestSession.connect(socket, deadline);
    boolean done = false;
    try {
      QtestMachine machine = new QtestMachine(session, ram);
      done = true;
      return machine;
    } finally {
      if (!done) {
        session.close();
      }
    }
  }

  private List<QtestDevice> list() throws IOException {
    List<QtestDevice> result = new ArrayList<>();
    for (PciSlot slot : slots) {
      RegisterWindow window = config.window(slot.address());
      boolean modern = PciCapabilities.hasModernInterface(window);
      // virtio 1.4, PCI Device Discovery: transitional ones have their id in the subsystem's.
      boolean transitional = slot.device() < 0x1040;
      int id = transitional ? (int) window.read(PciRegisters.SUBSYSTEM, 2) : slot.device() - 0x1040;
      PciSlot.Bar first = slot.bar(0);
      boolean legacy = transitional && first != null && first.io();
      int msix = PciCapabilities.find(window, PciRegisters.CAPABILITY_MSIX);
      int vectors = msix == 0 ? 0 : ((int) window.read(msix + 2, 2) & PciRegisters.MSIX_SIZE) + 1;
      int pin = (int) window.read(PciRegisters.INTERRUPT_PIN, 1);
      String name = slot.address().toString();
      result.add(new QtestDevice(QtestDevice.Bus.PCI, name, id, modern, legacy, vectors, pin));
    }
    for (QtestMmio.Place place : places) {
      boolean modern = place.version() == 2;
      result.add(
          new QtestDevice(
              QtestDevice.Bus.MMIO, place.name(), place.deviceId(), modern, !modern, 0, 0));
    }
    return List.copyOf(result);
  }

  /** The virtio devices, as they were when this was connected. */
  public List<QtestDevice> devices() {
    return devices;
  }

  /**
   * The device at an address.
   *
   * @param address as {@link QtestDevice#address} has it, 00:05.0, or 0xfeb00e00; null for the only
   *     one
   * @throws IOException when there is none, or several and none is named
   */
  public QtestDevice device(String address) throws IOException {
    if (address == null) {
      if (devices.size() != 1) {
        throw new IOException(
            session + " has " + devices.size() + " virtio devices" + addresses() + ": name one");
      }
      return devices.getFirst();
    }
    PciAddress pci = PciAddress.parse(address);
    String low = address.toLowerCase(Locale.ROOT);
    for (QtestDevice device : devices) {
      boolean same =
          device.bus() == QtestDevice.Bus.PCI
              ? pci != null && device.address().equals(pci.toString())
              : device.address().equals(low) || device.address().equals("mmio@" + low);
      if (same) {
        return device;
      }
    }
    throw new IOException(session + " has no virtio device at " + address + addresses());
  }

  private String addresses() {
    return devices.isEmpty()
        ? ""
        : " (" + String.join(", ", devices.stream().map(QtestDevice::address).toList()) + ")";
  }

  /**
   * Opens a device on PCI: what it does to memory has effect from now on.
   *
   * @throws IOException when it is open already, is on another bus, or the RAM cannot be mapped
   */
  public synchronized PciAccess openPci(QtestDevice device) throws IOException {
    PciSlot slot =
        slots.stream()
            .filter(s -> s.address().toString().equals(device.address()))
            .findFirst()
            .orElseThrow(() -> new IOException("no PCI function at " + device.address()));
    prepare(device);
    PciAccess access = new QtestPci(this, slot);
    open.add(device.address());
    return access;
  }

  /**
   * Opens a device on virtio-mmio.
   *
   * @throws IOException when it is open already, is on another bus, or the RAM cannot be mapped
   */
  public synchronized MmioAccess openMmio(QtestDevice device) throws IOException {
    QtestMmio.Place place =
        places.stream()
            .filter(p -> p.name().equals(device.address()))
            .findFirst()
            .orElseThrow(() -> new IOException("no virtio-mmio device at " + device.address()));
    prepare(device);
    MmioAccess access = new QtestMmio(this, place);
    open.add(device.address());
    return access;
  }

  private void prepare(QtestDevice device) throws IOException {
    if (open.contains(device.address())) {
      throw new IOException(device.address() + " of " + session + " is open already");
    }
    if (memory == null) {
      if (ram == null) {
        throw new IOException("to drive a device of " + session + ", name the file of its RAM");
      }
      memory = QtestMemory.open(session, ram);
    }
  }

  /** A device can be opened again. */
  synchronized void closed(String address) {
    open.remove(address);
  }

  /** The protocol below. */
  public QtestSession session() {
    return session;
  }

  /** The RAM that all devices share, once one was opened. */
  DriverMemory memory() {
    return Objects.requireNonNull(memory);
  }

  ConfigPorts config() {
    return config;
  }

  QtestInterrupts interrupts() {
    return interrupts;
  }

  RegisterWindow window(boolean io, long base, long size) {
    return new AddressWindow(session, interrupts, io, base, size);
  }

  /** Ends interrupts and the connection. Close drivers first. Idempotent. */
  @Override
  public void close() {
    interrupts.close();
    session.close();
  }

  @Override
  public String toString() {
    return session.toString();
  }
}
