// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import io.jvirtio.transport.DeviceAnswerException;
import io.jvirtio.transport.RegisterWindow;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * Where the structures of a modern device are: of each type the first that can be used (virtio 1.4,
 * Virtio Structure PCI Capabilities, Driver Requirements).
 *
 * @param device null for a device without configuration
 * @param multiplier bytes between notification registers, for each step of queue_notify_off
 */
record PciStructures(
    RegisterArea common,
    RegisterArea notifier,
    RegisterArea isr,
    RegisterArea device,
    long multiplier) {
  /** Bytes of the common configuration that every modern device has. */
  private static final int COMMON_SIZE = 56;

  private static final int NOTIFIER_SIZE = 2;

  private record Found(RegisterArea area, long multiplier) {}

  /** Finds them. */
  static PciStructures find(PciAccess access, PciCapabilities capabilities) throws IOException {
    Found common = first(access, capabilities, PciCapabilities.COMMON, COMMON_SIZE, 4);
    Found notifier = first(access, capabilities, PciCapabilities.NOTIFY, NOTIFIER_SIZE, 2);
    Found isr = first(access, capabilities, PciCapabilities.ISR, 1, 1);
    boolean config = !capabilities.structures(PciCapabilities.DEVICE).isEmpty();
    Found device = config ? first(access, capabilities, PciCapabilities.DEVICE, 1, 4) : null;
    return new PciStructures(
        common.area(),
        notifier.area(),
        isr.area(),
        device == null ? null : device.area(),
        notifier.multiplier());
  }

  private static Found first(
      PciAccess access, PciCapabilities capabilities, int type, int least, int alignment)
      throws IOException {
    List<String> reasons = new ArrayList<>();
    for (PciCapabilities.Structure structure : capabilities.structures(type)) {
      try {
        return new Found(area(access, structure, least, alignment), structure.multiplier());
      } catch (DeviceAnswerException unusable) {
        reasons.add(unusable.getMessage());
      }
    }
    throw new DeviceAnswerException(
        access.name()
            + " has no "
            + name(type)
            + (reasons.isEmpty() ? "" : ": " + String.join("; ", reasons)));
  }

  private static RegisterArea area(
      PciAccess access, PciCapabilities.Structure structure, int least, int alignment)
      throws IOException {
    RegisterWindow bar;
    try {
      bar = access.bar(structure.bar());
    } catch (IOException none) {
      throw new DeviceAnswerException(structure + ": " + none.getMessage(), none);
    }
    if (structure.offset() % alignment != 0) {
      throw new DeviceAnswerException(structure + " is not aligned to " + alignment);
    }
    // It may be unexpectedly large, but no access leaves the BAR.
    long length = Math.min(structure.length(), bar.size() - structure.offset());
    if (length < least) {
      throw new DeviceAnswerException(
          String.format("%s of 0x%x bytes has no room for %d", structure, bar.size(), least));
    }
    String name = access.name() + ", " + name(structure.type());
    return new RegisterArea(name, bar, structure.offset(), length);
  }

  private static String name(int type) {
    return switch (type) {
      case PciCapabilities.COMMON -> "common configuration structure";
      case PciCapabilities.NOTIFY -> "notification structure";
      case PciCapabilities.ISR -> "ISR status";
      default -> "device-specific configuration structure";
    };
  }
}
