// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class GuestMemoryTest {
  private static final long HOST = 0x7f00_0000_0000L;

  private static MemoryRegion region(long guest, long size) {
    return new MemoryRegion(guest, size, HOST + (guest & 0xff_ffff));
  }

  private static void fault(FaultReason reason, Executable call) {
    assertEquals(reason, assertThrows(PeerFault.class, call).reason());
  }

  @Test
  void regionsThatCannotBeAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new MemoryRegion(0, 0, HOST));
    assertThrows(IllegalArgumentException.class, () -> new MemoryRegion(0, -1, HOST));
    assertThrows(IllegalArgumentException.class, () -> new MemoryRegion(-1, 2, HOST));
    assertThrows(
        IllegalArgumentException.class, () -> new MemoryRegion(-0x1000, Long.MAX_VALUE, HOST));
    assertThrows(IllegalArgumentException.class, () -> new MemoryRegion(0, 1, 0));
    assertThrows(IllegalArgumentException.class, () -> new MemoryRegion(0, 1, -1));
    assertThrows(IllegalArgumentException.class, () -> new MemoryRegion(0, 2, Long.MAX_VALUE));
    assertEquals(1, new MemoryRegion(-1, 1, HOST).size());
    assertEquals(0x1000, new MemoryRegion(-0x1000, 0x1000, HOST).size());
  }

  @Test
  void overlappingRegionsAreRefusedInAnyOrder() {
    MemoryRegion low = region(0x1000, 0x1000);
    for (MemoryRegion other :
        List.of(
            region(0x1000, 0x1000),
            region(0x1fff, 1),
            region(0xfff, 2),
            region(0x800, 0x4000),
            region(0x1800, 0x10))) {
      assertThrows(IllegalArgumentException.class, () -> GuestMemory.of(List.of(low, other)));
      assertThrows(IllegalArgumentException.class, () -> GuestMemory.of(List.of(other, low)));
    }
    assertEquals(3, GuestMemory.of(List.of(region(0x2000, 1), low, region(-1, 1))).regionCount());
  }

  @Test
  void addressesAreFoundWhateverTheHint() throws PeerFault {
    GuestMemory memory =
        GuestMemory.of(List.of(region(-0x1000, 0x1000), region(0x1000, 0x1000), region(0, 0x10)));
    for (int hint : new int[] {-1, 0, 1, 2, 3, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
      assertEquals(0, memory.regionOf(0, hint));
      assertEquals(0, memory.regionOf(0xf, hint));
      assertEquals(1, memory.regionOf(0x1000, hint));
      assertEquals(1, memory.regionOf(0x1fff, hint));
      assertEquals(2, memory.regionOf(-0x1000, hint));
      assertEquals(2, memory.regionOf(-1, hint));
      for (long outside : new long[] {0x10, 0xfff, 0x2000, -0x1001, Long.MAX_VALUE}) {
        fault(FaultReason.ADDRESS_OUTSIDE_MEMORY, () -> memory.regionOf(outside, hint));
      }
    }
    assertEquals(HOST + 0x1234, memory.hostAddress(1, 0x1234));
    assertEquals(0x2000 - 0x1234, memory.remaining(1, 0x1234));
    assertEquals(1, memory.remaining(2, -1));
  }

  @Test
  void aPieceMustLieInOneRegion() throws PeerFault {
    GuestMemory memory =
        GuestMemory.of(
            List.of(region(0x1000, 0x1000), region(0x2000, 0x10), region(-0x1000, 0x1000)));
    assertEquals(HOST + 0x1000, memory.contiguous(0x1000, 0x1000));
    assertEquals(HOST + 0x1fff, memory.contiguous(0x1fff, 1));
    memory.contiguous(-0x1000, 0x1000);
    memory.contiguous(-1, 1);
    fault(FaultReason.CROSSES_REGION, () -> memory.contiguous(0x1fff, 2));
    fault(FaultReason.CROSSES_REGION, () -> memory.contiguous(0x1000, 0x1010));
    fault(FaultReason.ADDRESS_OUTSIDE_MEMORY, () -> memory.contiguous(0x1000, 0x1011));
    fault(FaultReason.ADDRESS_OUTSIDE_MEMORY, () -> memory.contiguous(0xfff, 2));
    fault(FaultReason.ADDRESS_OUTSIDE_MEMORY, () -> memory.contiguous(0x2010, 1));
    fault(FaultReason.ADDRESS_OVERFLOW, () -> memory.contiguous(-1, 2));
    fault(FaultReason.ADDRESS_OVERFLOW, () -> memory.contiguous(-0x1000, 0x1001));
    fault(FaultReason.ADDRESS_OVERFLOW, () -> memory.contiguous(-1, Long.MAX_VALUE));
    fault(FaultReason.ADDRESS_OUTSIDE_MEMORY, () -> GuestMemory.EMPTY.contiguous(0, 1));
  }

  @Test
  void aFaultSaysWhatHappenedAndHasNoStack() {
    PeerFault fault = new PeerFault(FaultReason.ADDRESS_OVERFLOW, -1);
    assertEquals(FaultReason.ADDRESS_OVERFLOW, fault.reason());
    assertEquals(-1, fault.detail());
    assertEquals("address and length overflow 64 bits (0xffffffffffffffff)", fault.getMessage());
    assertEquals(0, fault.getStackTrace().length);
    for (FaultReason reason : FaultReason.values()) {
      assertFalse(reason.text().isEmpty());
    }
  }
}
