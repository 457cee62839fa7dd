// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.rng;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.Requirement;
import io.jvirtio.testkit.RingFormat;
import io.jvirtio.testkit.ScriptedDevice.Buffer;
import io.jvirtio.testkit.ScriptedTransport;
import io.jvirtio.testkit.ThreadOwner;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

@ParameterizedClass
@EnumSource
class RngDriverTest {
  private final ScriptedTransport transport = new ScriptedTransport(DeviceType.ENTROPY.id());
  private int next = 1;

  RngDriverTest(RingFormat format) {
    transport.offer(format.applyTo(FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1)));
  }

  /** A device that writes at most so many bytes for one request: 1, 2, 3 and so on. */
  private void answer(int most) {
    transport.onNotify(
        queue -> {
          for (Buffer buffer : transport.device(0).takeAll()) {
            assertEquals(0, buffer.readableLength());
            byte[] bytes = new byte[(int) Math.min(most, buffer.writableLength())];
            for (int i = 0; i < bytes.length; i++) {
              bytes[i] = (byte) next++;
            }
            buffer.write(bytes);
            transport.device(0).use(buffer, bytes.length);
          }
        });
  }

  private RngDriver start(Duration timeout) throws IOException {
    DriverDevice device = new DriverDevice(transport, DriverDevice.ringFeatures(), Runnable::run);
    return (RngDriver) device.start(new RngDriverType(transport.owner(), timeout));
  }

  private static byte[] read(RngDriver driver, int bytes) throws IOException {
    byte[] target = new byte[bytes];
    driver.read(MemorySegment.ofArray(target));
    return target;
  }

  @Test
  @Requirement(
      section = "Entropy Device / Device Operation",
      text = "The driver MUST NOT place device-readable buffers into the queue.")
  @Requirement(
      section = "Entropy Device / Device Operation",
      text =
          "The driver MUST examine the length written by the device to determine how many random"
              + " bytes were received.")
  void onlyWhatTheDeviceWroteCounts() throws IOException {
    try (RngDriver driver = RngDriver.open(transport, transport.owner())) {
      answer(3);
      assertArrayEquals(new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, read(driver, 10));
      assertEquals(4, transport.queue(0).counters().used());
      assertEquals(0, read(driver, 0).length);
    }
  }

  @Test
  void moreThanTheBufferHolds() throws IOException {
    try (RngDriver driver = RngDriver.open(transport, transport.owner())) {
      answer(Integer.MAX_VALUE);
      byte[] bytes = read(driver, 10_000);
      assertEquals((byte) 10_000, bytes[9_999]);
      assertEquals(3, transport.queue(0).counters().used());
    }
  }

  @Test
  void onAnOwnerWithAThread() throws IOException {
    answer(100);
    try (ThreadOwner owner = new ThreadOwner("rng");
        RngDriver driver = RngDriver.open(transport, owner)) {
      assertEquals(100, read(driver, 250)[99]);
    }
  }

  @Test
  void aDeviceWithoutAnyBytes() throws IOException {
    try (RngDriver driver = RngDriver.open(transport, transport.owner())) {
      answer(0);
      assertThrows(IOException.class, () -> read(driver, 10));
      answer(10);
      read(driver, 10);
    }
  }

  @Test
  void aSilentDevice() throws IOException {
    try (RngDriver driver = start(Duration.ofMillis(20))) {
      assertThrows(IOException.class, () -> read(driver, 10));
      transport.run();
      assertEquals(State.BROKEN, driver.device().state());
      answer(10);
      assertThrows(IOException.class, () -> read(driver, 10));
      driver.device().recover(Duration.ofMinutes(1));
      read(driver, 10);
    }
  }

  @Test
  void aDeviceThatLies() throws IOException {
    try (RngDriver driver = start(Duration.ofMinutes(1))) {
      transport.onNotify(queue -> transport.device(0).use(transport.device(0).take(), 1_000_000));
      IOException error = assertThrows(IOException.class, () -> read(driver, 10));
      assertTrue(error.getMessage().contains("no random bytes"), error.getMessage());
    }
  }

  @Test
  void goneAndBack() throws IOException {
    try (RngDriver driver = start(Duration.ofMinutes(1))) {
      answer(10);
      driver.device().freeze();
      assertThrows(IOException.class, () -> read(driver, 10));
      driver.device().restore();
      read(driver, 10);
      driver.device().stop();
      assertEquals(0, transport.memory().allocated());
    }
  }
}
