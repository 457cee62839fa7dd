// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.inprocess;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.QueueRequest;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.spec.SplitRing;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The legacy interface, of a driver of either byte order. */
class LegacyTest {
  private static Bench bench(boolean bigEndian) {
    return Bench.inline(InProcessOptions.defaults().withLegacy(bigEndian));
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void buffersComeBack(boolean bigEndian) throws IOException {
    try (Bench bench = bench(bigEndian)) {
      assertTrue(bench.transport.isLegacy());
      assertEquals(bigEndian, bench.transport.isBigEndian());
      assertFalse(bench.transport.deviceFeatures().has(ReservedFeatures.VIRTIO_F_VERSION_1));
      // Twice, because a reset forgets the byte order.
      for (int i = 0; i < 2; i++) {
        bench.start(20);
        bench.sendAndAwait(100_000);
        bench.transport.reset();
        bench.transport.deleteQueues();
      }
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theQueueIsInOnePieceOfTheDevicesSize(boolean bigEndian) throws IOException {
    try (Bench bench = bench(bigEndian)) {
      EchoDriver.negotiate(bench.transport);
      QueueRequest small = new QueueRequest("small", 4, 1, null, bench.owner);
      QueueLayout layout = bench.transport.findQueues(List.of(small)).getFirst().layout();
      int size = EchoDevice.MAX_SIZE;
      assertEquals(size, layout.size());
      assertEquals(0, layout.descriptorArea() % 4096);
      assertEquals(SplitRing.descSize(size), layout.driverArea() - layout.descriptorArea());
      assertEquals(
          SplitRing.legacyUsedOffset(size, 4096), layout.deviceArea() - layout.descriptorArea());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theConfigurationIsInTheDriversOrder(boolean bigEndian) throws IOException {
    ByteOrder order = bigEndian ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN;
    try (Bench bench = bench(bigEndian)) {
      bench.device.config().set("capacity", 0x0102030405060708L).set("mode", 0x0a0b);
      byte[] all = new byte[bench.transport.configSize()];
      bench.transport.readConfig(0, all);
      ByteBuffer buffer = ByteBuffer.wrap(all).order(order);
      assertEquals(0x0102030405060708L, buffer.getLong(0));
      assertEquals(0x0a0b, buffer.getShort(8));
      byte[] inPieces = new byte[all.length];
      for (int i = 0; i < all.length; i++) {
        byte[] one = new byte[1];
        bench.transport.readConfig(i, one);
        inPieces[i] = one[0];
      }
      assertArrayEquals(all, inPieces);
      bench.transport.writeConfig(
          8, ByteBuffer.allocate(2).order(order).putShort((short) 0x1234).array());
      assertEquals(0x1234, bench.device.mode);
      assertEquals(0x1234, bench.device.config().get("mode"));
      assertThrows(IOException.class, () -> bench.transport.writeConfig(9, new byte[1]));
      assertThrows(IOException.class, () -> bench.transport.writeConfig(100, new byte[2]));
    }
  }

  @Test
  void thereIsNoGeneration() throws IOException {
    try (Bench bench = bench(false)) {
      assertEquals(-1, bench.transport.configGeneration());
    }
  }

  @Test
  void onlyTheLegacyInterfaceIsBigEndian() {
    InProcessOptions plain = InProcessOptions.defaults();
    assertThrows(
        IllegalArgumentException.class,
        () -> new InProcessOptions("x", 0, plain.ringFeatures(), false, true, 1));
    assertThrows(IllegalArgumentException.class, () -> plain.withRegionBytes(0));
  }
}
