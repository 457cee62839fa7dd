// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.spec.ReservedFeatures;
import java.io.IOException;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The capability list of a function, and the structures that it leads to. */
class CapabilityWalkTest {
  private static final int BAR = LyingPci.BAR;
  private final LyingPci pci = new LyingPci();

  private PciCapabilities walk() throws IOException {
    return PciCapabilities.walk(new PciHeader(pci.name(), pci.config));
  }

  private PciStructures find() throws IOException {
    return PciStructures.find(pci, walk());
  }

  private void fails(String says) {
    IOException error = assertThrows(IOException.class, this::find);
    assertTrue(error.getMessage().contains(says), error.getMessage());
  }

  @Test
  void theUsualOnes() throws IOException {
    PciStructures found = find();
    assertEquals(0x40, found.common().length());
    assertEquals(4, found.multiplier());
    assertEquals(LyingPci.ISR, found.isr().base());
    assertEquals(null, found.device());
    assertEquals(3, walk().vectors());
    assertFalse(walk().msixEnabled());
    pci.config.set(LyingPci.MSIX_AT + 2, 2, 0x87ff);
    assertEquals(2048, walk().vectors());
    assertTrue(walk().msixEnabled());
  }

  @Test
  void aListThatLoops() throws IOException {
    pci.link(0x58);
    assertEquals(3, walk().structures(1).size() + walk().structures(2).size() * 2);
    pci.config.set(0x41, 1, 0x40);
    assertEquals(1, walk().structures(1).size());
    assertEquals(0, walk().structures(2).size());
  }

  @Test
  void aListThatLeaves() throws IOException {
    pci.config.set(0x41, 1, 0x3c);
    assertEquals(0, walk().structures(2).size());
    pci.config.set(0x41, 1, 0xff).set(0xfc, 4, 0x0110_00ff);
    assertEquals(0, walk().structures(2).size());
    // A vendor capability whose structure would not end inside.
    pci.config.set(0xfc, 4, 0x0214_0009);
    assertEquals(0, walk().structures(2).size());
    pci.config.set(6, 2, 0);
    assertEquals(0, walk().structures(1).size());
  }

  @Test
  void anyListEnds() throws IOException {
    Random random = new Random(5);
    for (int i = 0; i < 2000; i++) {
      byte[] bytes = pci.config.bytes;
      random.nextBytes(bytes);
      for (int at = 0x40; at < 0x100; at += 4) {
        bytes[at] = (byte) (random.nextInt(8) == 0 ? 0x11 : 9);
        bytes[at + 2] = (byte) random.nextInt(32);
        bytes[at + 3] = (byte) random.nextInt(10);
      }
      bytes[6] |= 0x10;
      PciCapabilities found = walk();
      assertTrue(found.vectors() <= 2048);
      try {
        PciStructures structures = PciStructures.find(pci, found);
        assertTrue(structures.common().base() + structures.common().length() <= 0x1000);
      } catch (IOException none) {
        assertTrue(none.getMessage().contains(pci.name()));
      }
    }
  }

  @Test
  void whatIsTooShortIsIgnored() throws IOException {
    pci.bare().structure(1, 15, BAR, 0x400, 0x40, 0);
    pci.structure(1, 255, BAR, 0x800, 0x40, 0);
    pci.structure(2, 16, BAR, 0x400, 0x40, 2);
    pci.structure(2, 20, BAR, 0x600, 0x40, 2);
    pci.structure(3, 16, BAR, 0x500, 1, 0);
    assertEquals(0x800, find().common().base());
    assertEquals(0x600, find().notifier().base());
    assertEquals(2, find().multiplier());
  }

  @Test
  void whatIsReservedIsIgnored() throws IOException {
    pci.bare().structure(1, 16, 6, 0x400, 0x40, 0);
    for (int type : new int[] {0, 5, 6, 7, 9, 10, 255}) {
      pci.structure(type, 16, BAR, 0x800, 0x40, 0);
      assertEquals(List.of(), walk().structures(type));
    }
    assertEquals(List.of(), walk().structures(1));
    fails("no common configuration structure");
  }

  @Test
  void theFirstThatCanBeUsedIs() throws IOException {
    pci.bare().structure(1, 16, 3, 0, 0x40, 0); // no such BAR
    pci.structure(1, 16, BAR, 0xfd0, 0x40, 0); // over its end
    pci.structure(1, 16, BAR, 0xffff_ffc0L, 0x40, 0); // far over its end
    pci.structure(1, 16, BAR, 0x402, 0x40, 0); // not aligned
    fails("there is no BAR 3");
    fails("at 0xfd0 of BAR 4 of 0x1000 bytes");
    fails("not aligned to 4");
    fails("at 0xffffffc0");
    pci.structure(1, 16, BAR, 0x800, 0xffff_ffffL, 0);
    pci.structure(1, 16, BAR, 0, 0x40, 0);
    fails("no notification structure");
  }

  @Test
  void aStructureThatIsLongerThanItsBar() throws IOException {
    pci.bare().structure(1, 16, BAR, 0x800, 0xffff_ffffL, 0);
    pci.structure(2, 20, BAR, LyingPci.NOTIFY, 0x100, 4);
    pci.structure(3, 16, BAR, LyingPci.ISR, 1, 0);
    assertEquals(0x800, find().common().length());
  }

  @Test
  void aStructureOfAnOlderVersionLacksItsFeatures() throws IOException {
    pci.bare().structure(1, 16, BAR, 0, 56, 0);
    pci.structure(2, 20, BAR, LyingPci.NOTIFY, 0x100, 4);
    pci.structure(3, 16, BAR, LyingPci.ISR, 1, 0);
    try (PciDriverTransport transport = new PciDriverTransport(pci)) {
      assertFalse(transport.deviceFeatures().has(ReservedFeatures.VIRTIO_F_RING_RESET));
      assertTrue(transport.deviceFeatures().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      assertFalse(transport.carriedFeatures().has(ReservedFeatures.VIRTIO_F_NOTIF_CONFIG_DATA));
    }
  }
}
