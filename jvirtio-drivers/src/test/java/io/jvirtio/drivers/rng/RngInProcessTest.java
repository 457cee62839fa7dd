// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.rng;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.jvirtio.device.InlineOwner;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.DriverDevice.State;
import io.jvirtio.drivers.Way;
import io.jvirtio.memory.FaultReason;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.DeviceType;
import io.jvirtio.testkit.ThreadOwner;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Our driver on a device in the same process, by every way. */
@ParameterizedClass
@EnumSource
class RngInProcessTest {
  private static final int MOST = 100;

  @Parameter Way way;
  private volatile boolean faulty;

  /** Counts, 100 bytes at a time. */
  private final class Counting implements VirtioDevice {
    private byte next = 1;

    @Override
    public int deviceId() {
      return DeviceType.ENTROPY.id();
    }

    @Override
    public int queueCount() {
      return 1;
    }

    @Override
    public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
      return requests -> {
        for (DescriptorChain chain = requests.pop(); chain != null; chain = requests.pop()) {
          if (faulty) {
            faulty = false;
            throw new PeerFault(FaultReason.REQUEST_MALFORMED, 0);
          }
          byte[] bytes = new byte[(int) Math.min(MOST, chain.writableLength())];
          for (int i = 0; i < bytes.length; i++) {
            bytes[i] = next++;
          }
          chain.writer().bytes(bytes, 0, bytes.length);
          requests.push(chain, bytes.length);
        }
      };
    }
  }

  private void readSome(RngDriver driver) throws IOException {
    byte[] bytes = new byte[3 * MOST + 7];
    driver.read(MemorySegment.ofArray(bytes));
    for (int i = 1; i < bytes.length; i++) {
      assertEquals((byte) (bytes[i - 1] + 1), bytes[i], "byte " + i);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void frozenAndBack(boolean threads) throws IOException {
    if (!threads) {
      InlineOwner owner = new InlineOwner();
      frozenAndBack(owner, owner);
      return;
    }
    try (ThreadOwner device = new ThreadOwner("device");
        ThreadOwner driver = new ThreadOwner("driver")) {
      frozenAndBack(device, driver);
    }
  }

  private void frozenAndBack(QueueOwner device, QueueOwner owner) throws IOException {
    try (RngDriver driver = RngDriver.open(way.plug(new Counting(), device), owner)) {
      for (int i = 0; i < 3; i++) {
        readSome(driver);
        driver.device().freeze();
        assertThrows(IOException.class, () -> readSome(driver));
        driver.device().restore();
      }
      readSome(driver);
    }
  }

  @Test
  void brokenAndRecovered() throws IOException {
    InlineOwner owner = new InlineOwner();
    DriverDevice device =
        new DriverDevice(
            way.plug(new Counting(), owner), DriverDevice.ringFeatures(), Runnable::run);
    try (RngDriver driver =
        (RngDriver) device.start(new RngDriverType(owner, Duration.ofMinutes(1)))) {
      readSome(driver);
      faulty = true;
      assertThrows(IOException.class, () -> readSome(driver));
      assertEquals(State.BROKEN, device.state());
      device.recover(Duration.ofMinutes(1));
      readSome(driver);
    }
  }
}
