// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.testkit;

import static io.jvirtio.spec.ReservedFeatures.VIRTIO_F_VERSION_1;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_BLK_SIZE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_CONFIG_WCE;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_MQ;
import static io.jvirtio.spec.VirtioBlk.VIRTIO_BLK_F_SEG_MAX;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverConfig;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.VirtioBlk;
import io.jvirtio.spec.VirtioNet;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A driver's reads and writes of the configuration space. */
class DriverConfigTest {
  private static final String SECTION = "Device Configuration Space";
  private static final int SIZE = VirtioBlk.CONFIG.size();

  private final ScriptedTransport transport =
      new ScriptedTransport(DeviceType.BLOCK.id())
          .offer(FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_MQ));
  private final TestDriverType type =
      new TestDriverType("test", null).understands(VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_SEG_MAX);
  private final DriverDevice device =
      new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);

  @AfterEach
  void close() {
    device.close();
  }

  private static byte[] config(ByteOrder order, long capacity, int blockSize) {
    return ByteBuffer.allocate(SIZE)
        .order(order)
        .putLong(VirtioBlk.CONFIG.offset("capacity"), capacity)
        .putInt(VirtioBlk.CONFIG.offset("blk_size"), blockSize)
        .array();
  }

  private static byte[] config(long capacity, int blockSize) {
    return config(ByteOrder.LITTLE_ENDIAN, capacity, blockSize);
  }

  private DriverConfig start(byte[] bytes) throws IOException {
    transport.config(bytes);
    device.start(type);
    transport.clearCalls();
    return device.config();
  }

  private long reads() {
    return transport.calls().stream().filter(call -> call.startsWith("readConfig")).count();
  }

  @Test
  void fieldsAreReadUnsigned() throws IOException {
    DriverConfig config = start(config(0x8877_6655_4433_2211L, 0xffff_fffe));
    assertEquals(0x8877_6655_4433_2211L, config.get("capacity"));
    assertEquals(0xffff_fffeL, config.get("blk_size"));
  }

  @Test
  @Requirement(
      section = SECTION,
      text =
          "Drivers MUST NOT assume reads from fields greater than 32 bits wide are atomic, nor are"
              + " reads from multiple fields: drivers SHOULD read device configuration space fields"
              + " like so: [between two reads of the generation, until both are the same]")
  void aReadBelongsToOneVersion() throws IOException {
    DriverConfig config = start(config(1, 512));
    AtomicInteger reads = new AtomicInteger();
    // The configuration changes between the two fields of the first try.
    transport.before(
        "readConfig",
        () -> {
          if (reads.incrementAndGet() == 2) {
            transport.config(config(2, 4096));
          }
        });
    assertArrayEquals(new long[] {2, 4096}, config.getAll("capacity", "blk_size"));
    assertEquals(4, reads());
    reads.set(1);
    assertEquals(2, config.get("capacity"));
    assertEquals(6, reads(), "also a single field, which the transport may read in pieces");
  }

  @Test
  void aGenerationThatNeverRestsIsAnError() throws IOException {
    DriverConfig config = start(config(1, 512));
    transport.before("readConfig", () -> transport.config(config(2, 512)));
    IOException e = assertThrows(IOException.class, () -> config.get("capacity"));
    assertTrue(e.getMessage().contains("capacity"), e.getMessage());
    assertEquals(100, reads());
    assertThrows(IOException.class, () -> config.read(0, 8));
  }

  @Test
  @Requirement(
      section = "Device Configuration Space / Legacy Interface: Device Configuration Space",
      text =
          "when using the legacy interface, drivers SHOULD read these fields multiple times until"
              + " two reads generate a consistent result.")
  void withoutAGenerationTwoReadsMustAgree() throws IOException {
    transport.legacy(ByteOrder.LITTLE_ENDIAN);
    DriverConfig config = start(config(1, 512));
    assertEquals(1, config.get("capacity"));
    assertEquals(2, reads());
    AtomicInteger version = new AtomicInteger();
    transport.before(
        "readConfig", () -> transport.config(config(Math.min(5, version.incrementAndGet()), 512)));
    assertEquals(5, config.get("capacity"));
    assertEquals(2 + 6, reads());
    transport.before("readConfig", () -> transport.config(config(version.incrementAndGet(), 512)));
    assertThrows(IOException.class, () -> config.get("capacity"));
  }

  @Test
  @Requirement(
      section = SECTION,
      text =
          "For optional configuration space fields, the driver MUST check that the corresponding"
              + " feature is offered before accessing that part of the configuration space.")
  void aFieldWithoutItsFeatureIsRefused() throws IOException {
    type.in(
        "validate",
        d -> {
          assertEquals(0, d.config().get("num_queues"), "offered, though not understood");
          assertThrows(IllegalStateException.class, () -> d.config().get("seg_max"));
        });
    DriverConfig config = start(config(1, 512));
    IllegalStateException e =
        assertThrows(IllegalStateException.class, () -> config.get("seg_max"));
    assertTrue(e.getMessage().contains("VIRTIO_BLK_F_SEG_MAX"), e.getMessage());
    assertThrows(IllegalStateException.class, () -> config.get("num_queues"), "not negotiated");
    assertThrows(IllegalStateException.class, () -> config.set("seg_max", 1));
    assertThrows(IllegalStateException.class, () -> config.getAll("capacity", "seg_max"));
    assertFalse(config.has("seg_max"));
    assertTrue(config.has("blk_size"));
    assertEquals(0, reads(), "nothing was read");
  }

  @Test
  @Requirement(
      section = SECTION,
      text =
          "Drivers MUST NOT limit structure size and device configuration space size. Instead,"
              + " drivers SHOULD only check that device configuration space is large enough to"
              + " contain the fields necessary for device operation.")
  void theSpaceMayBeLargerOrSmallerThanTheStructure() throws IOException {
    DriverConfig config = start(new byte[4096]);
    assertEquals(0, config.get("capacity"));
    assertEquals(4096, config.read(0, 4096).length);
    int end = VirtioBlk.CONFIG.offset("blk_size");
    transport.config(new byte[end + 3]);
    assertEquals(0, config.get("capacity"));
    assertFalse(config.has("blk_size"));
    IOException e = assertThrows(IOException.class, () -> config.get("blk_size"));
    assertTrue(e.getMessage().contains("blk_size"), e.getMessage());
    assertThrows(IOException.class, () -> config.set("blk_size", 1));
    assertThrows(IOException.class, () -> config.read(end, 4));
    assertThrows(IOException.class, () -> config.read(Integer.MAX_VALUE, Integer.MAX_VALUE));
    transport.config(new byte[end + 4]);
    assertEquals(0, config.get("blk_size"));
  }

  @Test
  void aLegacySessionHasTheByteOrderOfItsDriver() throws IOException {
    transport.legacy(ByteOrder.BIG_ENDIAN);
    DriverConfig config = start(config(ByteOrder.BIG_ENDIAN, 0x0102_0304_0506_0708L, 512));
    assertEquals(0x0102_0304_0506_0708L, config.get("capacity"));
    assertEquals(512, config.get("blk_size"));
    config.set("blk_size", 0x1000);
    assertArrayEquals(
        new byte[] {0, 0, 0x10, 0},
        config.read(VirtioBlk.CONFIG.offset("blk_size"), 4),
        "a piece is as it lies there");
  }

  @Test
  void eachFieldIsOneAccessOfItsWidth() throws IOException {
    DriverConfig config = start(config(1, 512));
    config.getAll("capacity", "blk_size");
    assertEquals(
        List.of("readConfig 0 8", "readConfig 20 4"),
        transport.calls().stream().filter(call -> call.startsWith("readConfig")).toList());
  }

  @Test
  void whatMakesNoSenseIsRefused() throws IOException {
    type.understands(VIRTIO_BLK_F_CONFIG_WCE);
    transport.offer(FeatureBits.of(VIRTIO_F_VERSION_1, VIRTIO_BLK_F_CONFIG_WCE));
    DriverConfig config = start(config(1, 512));
    assertThrows(IllegalArgumentException.class, () -> config.get("no_such_field"));
    assertThrows(IllegalArgumentException.class, () -> config.has("no_such_field"));
    assertThrows(IllegalArgumentException.class, () -> config.get("unused1"), "an array");
    assertThrows(IllegalArgumentException.class, () -> config.getArray("capacity"));
    assertThrows(IllegalArgumentException.class, () -> config.set("writeback", 256));
    assertThrows(IllegalArgumentException.class, () -> config.set("writeback", -1));
    assertThrows(IllegalArgumentException.class, () -> config.read(-1, 4));
    config.set("writeback", 255);
    assertEquals(255, config.get("writeback"));
    device.close();
    assertThrows(IllegalStateException.class, () -> config.set("writeback", 1));
  }

  @Test
  void anArrayOfBytesComesAsItIs() throws IOException {
    try (ScriptedTransport net = new ScriptedTransport(DeviceType.NETWORK.id())) {
      net.offer(FeatureBits.of(VIRTIO_F_VERSION_1, VirtioNet.VIRTIO_NET_F_MAC))
          .config(new byte[] {2, 0, 0, 0, 0, 7, 0, 0});
      DriverDevice nic = new DriverDevice(net, DriverDevice.ringFeatures(), Runnable::run);
      nic.start(new TestDriverType("net", null).understands(VirtioNet.VIRTIO_NET_F_MAC));
      assertArrayEquals(new byte[] {2, 0, 0, 0, 0, 7}, nic.config().getArray("mac"));
      nic.close();
    }
  }

  @Test
  void aToolReadsWithoutADriver() throws IOException {
    transport.config(config(77, 512));
    FeatureBits offered = transport.deviceFeatures();
    DriverConfig config = DriverConfig.of(transport, VirtioBlk.CONFIG, () -> offered);
    assertEquals(77, config.get("capacity"));
    assertTrue(config.has("num_queues"));
    assertFalse(config.has("seg_max"));
    assertThrows(IllegalStateException.class, () -> config.set("blk_size", 1));
  }
}
