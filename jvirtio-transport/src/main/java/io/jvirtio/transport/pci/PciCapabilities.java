// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * The capability list of a function, as far as virtio drivers care (virtio 1.4, Virtio Structure
 * PCI Capabilities). The list is hostile: it may loop, leave the configuration space, or lie about
 * lengths.
 */
final class PciCapabilities {
  static final int COMMON = 1;
  static final int NOTIFY = 2;
  static final int ISR = 3;
  static final int DEVICE = 4;
  static final int SHARED_MEMORY = 8;

  private static final int ID_VENDOR_SPECIFIC = 0x09;
  private static final int ID_MSIX = 0x11;
  private static final int ID_NOTHING = 0xff;

  private static final int FIRST = 0x40;
  private static final int END = 0x100;
  private static final int MSIX_ENABLED = 0x8000;
  private static final int MSIX_SIZE_MASK = 0x7ff;

  /** Bytes of struct virtio_pci_cap. */
  private static final int CAP = 16;

  private static final int CAP_NOTIFY = 20;
  private static final int CAP64 = 24;

  /**
   * A structure and where it is said to be; nothing of that has been checked.
   *
   * @param length may be negative: it is 64 bits, unsigned
   * @param multiplier notify_off_multiplier of {@link #NOTIFY}, 32 bits unsigned
   */
  record Structure(int type, int bar, int id, long offset, long length, long multiplier) {
    @Override
    public String toString() {
      return String.format(
          "structure of type %d, 0x%x bytes at 0x%x of BAR %d", type, length, offset, bar);
    }
  }

  private final List<Structure> structures = new ArrayList<>();
  private int vectors;
  private boolean msixEnabled;

  private PciCapabilities() {}

  /** Walks the list. */
  static PciCapabilities walk(PciHeader header) throws IOException {
    PciCapabilities found = new PciCapabilities();
    BitSet seen = new BitSet();
    int at = header.firstCapability() & ~3;
    while (at >= FIRST && !seen.get(at)) {
      seen.set(at);
      int id = header.u8(at);
      if (id == ID_NOTHING) {
        break;
      }
      if (id == ID_VENDOR_SPECIFIC) {
        found.addStructure(header, at);
      } else if (id == ID_MSIX && found.vectors == 0) {
        int control = header.u16(at + 2);
        found.vectors = (control & MSIX_SIZE_MASK) + 1;
        found.msixEnabled = (control & MSIX_ENABLED) != 0;
      }
      at = header.u8(at + 1) & ~3;
    }
    return found;
  }

  private void addStructure(PciHeader header, int at) throws IOException {
    int type = header.u8(at + 3);
    int least =
        switch (type) {
          case COMMON, ISR, DEVICE -> CAP;
          case NOTIFY -> CAP_NOTIFY;
          case SHARED_MEMORY -> CAP64;
          default -> 0; // reserved, or not for drivers like this one
        };
    int length = header.u8(at + 2);
    if (least == 0 || length < least || at + least > END) {
      return;
    }
    int bar = header.u8(at + 4);
    if (bar >= PciHeader.BAR_COUNT) {
      return; // reserved
    }
    boolean wide = type == SHARED_MEMORY;
    structures.add(
        new Structure(
            type,
            bar,
            header.u8(at + 5),
            header.u32(at + 8) | (wide ? header.u32(at + 16) << 32 : 0),
            header.u32(at + 12) | (wide ? header.u32(at + 20) << 32 : 0),
            type == NOTIFY ? header.u32(at + 16) : 0));
  }

  /** The structures of one type, in the device's order of preference. */
  List<Structure> structures(int type) {
    return structures.stream().filter(s -> s.type() == type).toList();
  }

  /** How many vectors of MSI-X the function has, 0 to 2048. */
  int vectors() {
    return vectors;
  }

  /** Whether MSI-X was enabled when the list was walked. */
  boolean msixEnabled() {
    return msixEnabled;
  }
}
