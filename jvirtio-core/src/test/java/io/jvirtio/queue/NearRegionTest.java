// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.queue;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.memory.GuestMemory;
import io.jvirtio.memory.MemoryRegion;
import java.util.List;
import org.junit.jupiter.api.Test;

class NearRegionTest {
  private static final MemoryRegion LOW = new MemoryRegion(0x1000, 0x1000, 0x7000_0000);
  private static final MemoryRegion NEXT = new MemoryRegion(0x2000, 0x1000, 0x5000_0000);
  private static final MemoryRegion TOP = new MemoryRegion(-0x1000, 0x1000, 0x6000_0000);

  private final GuestMemory memory = GuestMemory.of(List.of(LOW, NEXT, TOP));
  private final NearRegion near = new NearRegion(memory);

  @Test
  void nothingIsReachedWithoutMemory() {
    NearRegion none = new NearRegion(GuestMemory.EMPTY);
    for (long address : new long[] {0, 1, Long.MAX_VALUE, Long.MIN_VALUE, -1}) {
      assertFalse(none.reaches(address, 1));
    }
  }

  @Test
  void aRangeInOneRegionIsReachedUpToItsLastByte() {
    assertTrue(near.reaches(0x1000, 0x1000));
    assertEquals(0x7000_0000, near.hostAddress(0x1000));
    assertTrue(near.reaches(0x1fff, 1));
    assertEquals(0x7000_0fff, near.hostAddress(0x1fff));
  }

  @Test
  void aRangeThatCrossesAnEdgeOrLeavesMemoryIsNot() {
    assertTrue(near.reaches(0x1000, 1));
    assertFalse(near.reaches(0x1fff, 2));
    assertFalse(near.reaches(0x1000, 0xffff_ffffL));
    assertFalse(near.reaches(0xfff, 1));
    assertFalse(near.reaches(0xfff, 2));
    assertFalse(near.reaches(0x3000, 1));
    assertFalse(near.reaches(0x2fff, 2));
  }

  @Test
  void theRegionAtHandChanges() {
    for (int round = 0; round < 3; round++) {
      assertTrue(near.reaches(0x1800, 0x10));
      assertEquals(0x7000_0800, near.hostAddress(0x1800));
      assertTrue(near.reaches(0x2800, 0x10));
      assertEquals(0x5000_0800, near.hostAddress(0x2800));
      assertTrue(near.reaches(-0x800, 0x800));
      assertEquals(0x6000_0800, near.hostAddress(-0x800));
    }
  }

  @Test
  void theEndOfTheAddressSpaceIsNoWayRound() {
    assertTrue(near.reaches(-1, 1));
    assertFalse(near.reaches(-1, 2));
    assertFalse(near.reaches(-1, 0x1002));
    assertFalse(near.reaches(0, 1));
  }

  @Test
  void grownMemoryIsReachedAndTheRegionAtHandStays() {
    NearRegion growing = new NearRegion(GuestMemory.of(List.of(NEXT)));
    assertTrue(growing.reaches(0x2000, 1));
    assertFalse(growing.reaches(0x1000, 1));
    growing.growMemory(memory);
    assertTrue(growing.reaches(0x2fff, 1));
    assertEquals(0x5000_0fff, growing.hostAddress(0x2fff));
    assertTrue(growing.reaches(0x1000, 1));
    assertEquals(0x7000_0000, growing.hostAddress(0x1000));
  }
}
