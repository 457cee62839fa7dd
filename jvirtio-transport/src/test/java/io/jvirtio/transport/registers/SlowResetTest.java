// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport.registers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.queue.QueueLayout;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.ReservedFeatures;
import io.jvirtio.testkit.ScriptedDriver;
import io.jvirtio.testkit.TestMemory;
import io.jvirtio.testkit.ThreadOwner;
import io.jvirtio.transport.registers.DeviceRegisters.Area;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;

/** A device that does not end what is in flight within the deadline of its host. */
class SlowResetTest {
  private static final int LIVE = 0xf;
  private static final int SIZE = 8;

  /** Keeps its one buffer until it may give it back. */
  private static final class Keeper implements VirtioDevice {
    volatile boolean keeps = true;
    volatile DescriptorChain kept;

    @Override
    public int deviceId() {
      return 4;
    }

    @Override
    public int queueCount() {
      return 1;
    }

    @Override
    public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
      return new QueueHandler() {
        @Override
        public void available(DeviceQueue ready) throws PeerFault {
          if (kept == null) {
            kept = ready.pop();
          }
        }

        @Override
        public boolean poll() {
          if (keeps || kept == null) {
            return false;
          }
          queue.push(kept, 0);
          kept = null;
          return true;
        }
      };
    }
  }

  private static void await(BooleanSupplier condition) throws InterruptedException {
    long start = System.nanoTime();
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() - start < 30_000_000_000L, "in vain");
      Thread.sleep(1);
    }
  }

  @Test
  void theStatusIsNotZeroBeforeMemoryIsLetGoOf() throws Exception {
    Keeper device = new Keeper();
    try (TestMemory memory = TestMemory.standard();
        ThreadOwner owner = new ThreadOwner("device");
        ExecutorService resets = Executors.newSingleThreadExecutor()) {
      DeviceRegisters registers =
          new DeviceRegisters(
              device,
              queue -> owner,
              FeatureBits.of(ReservedFeatures.VIRTIO_F_VERSION_1),
              false,
              new DeviceRegisters.Interrupts() {
                @Override
                public void usedBuffers(int queue) {}

                @Override
                public void configurationChanged() {}
              },
              resets,
              Duration.ofMillis(20));
      registers.setMemory(memory.snapshot());
      QueueLayout layout =
          new QueueLayout(
              SIZE,
              memory.allocate(4096, 16),
              memory.allocate(4096, 2),
              memory.allocate(4096, 4),
              0);
      registers.writeStatus(3);
      registers.writeDriverFeatures(1, 1);
      registers.writeStatus(0xb);
      registers.writeQueueSize(0, SIZE);
      registers.writeQueueAddress(0, Area.DESCRIPTOR, layout.descriptorArea());
      registers.writeQueueAddress(0, Area.DRIVER, layout.driverArea());
      registers.writeQueueAddress(0, Area.DEVICE, layout.deviceArea());
      registers.enableQueue(0);
      registers.writeStatus(LIVE);
      assertEquals(LIVE, registers.status());
      ScriptedDriver driver = new ScriptedDriver(memory, layout, ByteOrder.LITTLE_ENDIAN, false);
      driver.chain().writable(16).submit();
      registers.notified(0);
      await(() -> device.kept != null);

      // Returns after many deadlines, with the reset still to be done.
      registers.writeStatus(0);
      assertNotEquals(0, registers.status());
      assertTrue(registers.host().isAnyRunning());

      device.keeps = false;
      owner.wakeUp();
      await(() -> registers.status() == 0);
      assertFalse(registers.host().isAnyRunning());
      assertFalse(registers.queueEnabled(0));
      registers.close();
    }
  }
}
