// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.SharedMemory;
import io.jvirtio.driver.SharedMemoryRegion;
import io.jvirtio.transport.TestDevice;
import io.jvirtio.transport.inprocess.InProcessMmio;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Shared memory that both sides see, found through the registers. */
class MmioSharedMemoryTest {
  @Test
  void bothSidesSeeTheSame() throws IOException {
    MemorySegment memory = Arena.ofAuto().allocate(0x2000);
    TestDevice device = new TestDevice(MmioRig.TYPE, 1);
    device.shared = List.of(new SharedMemory(3, memory));
    MmioOptions options = MmioOptions.defaults().withSharedMemory(3, 0x40_0000_0000L);
    try (MmioDriverTransport transport =
        new MmioDriverTransport(new InProcessMmio(device, new InlineOwner(), options))) {
      SharedMemoryRegion region = transport.sharedMemoryRegion(3);
      assertEquals(3, region.id());
      assertEquals(memory.byteSize(), region.segment().byteSize());
      region.segment().set(ValueLayout.JAVA_INT, 0x1ffc, 7);
      assertEquals(7, memory.get(ValueLayout.JAVA_INT, 0x1ffc));
      assertNull(transport.sharedMemoryRegion(4));
    }
  }

  @Test
  void theLegacyInterfaceHasNone() throws IOException {
    TestDevice device = new TestDevice(MmioRig.TYPE, 1);
    device.shared = List.of(new SharedMemory(3, Arena.ofAuto().allocate(64)));
    InProcessMmio place = new InProcessMmio(device, new InlineOwner(), MmioOptions.legacy());
    try (MmioDriverTransport transport = new MmioDriverTransport(place)) {
      assertNull(transport.sharedMemoryRegion(3));
      assertEquals(0, place.device().counters().ignoredReads());
    }
  }
}
