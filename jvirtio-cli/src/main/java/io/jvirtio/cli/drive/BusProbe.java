// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.cli.drive;

import io.jvirtio.cli.CliException;
import io.jvirtio.qtest.QtestDevice;
import io.jvirtio.qtest.QtestMachine;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.transport.RegisterTransport;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What a device on a bus says besides of itself.
 *
 * @param seat where it is, and what it has there
 * @param legacy whether it was asked by the legacy interface
 * @param queueSizes the largest size of each queue
 */
record BusProbe(Seat seat, boolean legacy, List<Integer> queueSizes) {
  /** That it has both interfaces. */
  static final String TRANSITIONAL = "transitional";

  /** What devices are on. */
  enum Bus {
    /** PCI, of whatever kind. */
    PCI,
    /** virtio-mmio. */
    MMIO
  }

  /**
   * Where a device is.
   *
   * @param interfaces modern, transitional or legacy
   * @param vectors of MSI-X
   * @param pin as the configuration space of PCI has it; 0 for none
   */
  record Seat(String address, Bus bus, int deviceId, String interfaces, int vectors, int pin) {}

  /** More configuration than any type has. */
  private static final int MOST_CONFIG = 4096;

  /** Of a device whose type is not known, more says nothing. */
  private static final int UNKNOWN_CONFIG = 64;

  private static final int ATTEMPTS = 10;

  /** Asks a device of a QEMU. */
  static Probe ask(QtestMachine machine, QtestDevice device, QtestPlace place)
      throws IOException, CliException {
    Bus bus = device.bus() == QtestDevice.Bus.PCI ? Bus.PCI : Bus.MMIO;
    Seat seat =
        new Seat(
            device.address(),
            bus,
            device.deviceId(),
            device.interfaces(),
            device.msixVectors(),
            device.pin());
    try (RegisterTransport transport = place.open(machine, device)) {
      return ask(transport, seat);
    }
  }

  /**
   * Asks a device; nothing is accepted and no queue started.
   *
   * @throws IOException when it does not answer, or with nonsense
   */
  static Probe ask(RegisterTransport transport, Seat seat) throws IOException {
    FeatureBits features = transport.deviceFeatures();
    DeviceType type = DeviceType.of(seat.deviceId());
    List<Integer> sizes = new ArrayList<>();
    int count = transport.queueCount();
    for (int i = 0; i < count; i++) {
      sizes.add(transport.queueMaxSize(i));
    }
    int wanted = type == null ? UNKNOWN_CONFIG : Probe.extent(type, features);
    int size = Math.min(Math.min(wanted, MOST_CONFIG), transport.configSize());
    byte[] config = size == 0 ? null : read(transport, size);
    BusProbe bus = new BusProbe(seat, transport.isLegacy(), List.copyOf(sizes));
    return new Probe(type, List.of(), true, features, 0, count, -1, config, bus);
  }

  /** All of one generation, unless it changes all the time. */
  private static byte[] read(RegisterTransport transport, int size) throws IOException {
    byte[] config = new byte[size];
    for (int i = 0; i < ATTEMPTS; i++) {
      int before = transport.configGeneration();
      transport.readConfig(0, config);
      if (transport.configGeneration() == before) {
        break;
      }
    }
    return config;
  }

  /** In words: what the bus is. */
  String busName() {
    return seat.bus() == Bus.PCI ? "PCI" : "virtio-mmio";
  }

  /** In words: how it is reached. */
  String interfaces() {
    String name = seat.interfaces();
    return name.equals(TRANSITIONAL)
        ? name + ": modern and legacy; asked by the " + (legacy ? "legacy" : "modern") + " one"
        : name;
  }

  /** In words: how it interrupts. */
  String interrupts() {
    if (seat.bus() == Bus.MMIO) {
      return "one line";
    }
    int vectors = seat.vectors();
    String msix = vectors == 0 ? "no MSI-X" : "MSI-X with " + vectors + " vectors";
    return msix + (pin() == null ? ", no pin" : ", pin " + pin());
  }

  /** The name of the pin; null for none. */
  String pin() {
    return switch (seat.pin()) {
      case 0 -> null;
      case 1, 2, 3, 4 -> "INT" + (char) ('A' + seat.pin() - 1);
      default -> Integer.toString(seat.pin());
    };
  }

  /** In words: how large its queues may be. */
  String queues() {
    int[] sizes = queueSizes.stream().mapToInt(Integer::intValue).toArray();
    if (sizes.length == 0) {
      return "none";
    }
    boolean same = Arrays.stream(sizes).distinct().count() == 1;
    if (same) {
      return sizes.length + (sizes.length == 1 ? ", of up to " : ", each of up to ") + sizes[0];
    }
    return sizes.length
        + ", of up to "
        + String.join(", ", queueSizes.stream().map(String::valueOf).toList());
  }
}
