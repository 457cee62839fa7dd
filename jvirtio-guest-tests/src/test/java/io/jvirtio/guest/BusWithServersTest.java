// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.jvirtio.driver.BusListener;
import io.jvirtio.driver.Driver;
import io.jvirtio.driver.DriverDevice;
import io.jvirtio.driver.VirtioBus;
import io.jvirtio.drivers.blk.BlkDriver;
import io.jvirtio.drivers.blk.BlkDriverOptions;
import io.jvirtio.drivers.blk.BlkDriverType;
import io.jvirtio.drivers.rng.RngDriverType;
import io.jvirtio.linux.EventLoop;
import io.jvirtio.linux.LoopMode;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A bus with the devices of two servers that we did not write. */
class BusWithServersTest {
  private static final int MIB = 1 << 20;
  private static final int SIZE = 16 * MIB;
  private static final int DEPTH = 32;

  @TempDir Path folder;

  private final List<String> told = new CopyOnWriteArrayList<>();

  private final BusListener listener =
      new BusListener() {
        @Override
        public void bound(DriverDevice device, Driver driver) {
          told.add("bound " + name(device));
        }

        @Override
        public void unbound(DriverDevice device) {
          told.add("unbound " + name(device));
        }
      };

  private static String name(DriverDevice device) {
    return device.name().replaceFirst(".*/", "");
  }

  private StorageDaemon serve(StorageDaemon.Version version) throws Exception {
    Path image = Patterns.image(folder, version + ".img", version.ordinal(), SIZE);
    return new StorageDaemon(
        version, folder, image, folder.resolve(version + ".sock"), "writable=on");
  }

  @Test
  void devicesAndDriversComeAndGo() throws Exception {
    try (EventLoop loop =
            EventLoop.start("disks", LoopMode.EVENT, (source, fault) -> told.add("" + fault));
        StorageDaemon old = serve(StorageDaemon.Version.HOST);
        StorageDaemon recent = serve(StorageDaemon.Version.LAB);
        VirtioBus bus = new VirtioBus()) {
      bus.listen(listener);
      bus.register(new RngDriverType(loop));
      DriverDevice first = bus.add(DrivenDisk.connect(old.socket()));
      assertNull(first.driver(), "there is no driver for a disk yet");

      // A driver that comes late finds the device; a device that comes late finds the driver.
      BlkDriverType type = new BlkDriverType(BlkDriverOptions.of(loop));
      bus.register(type);
      DriverDevice second = bus.add(DrivenDisk.connect(recent.socket()));
      assertEquals(List.of("bound HOST.sock", "bound LAB.sock"), told);
      assertEquals(List.of(first, second), bus.devices());
      checkImage(first, StorageDaemon.Version.HOST);
      checkImage(second, StorageDaemon.Version.LAB);

      // One is unplugged while it works; the other one works on.
      BlkDriver removed = assertInstanceOf(BlkDriver.class, first.driver());
      Writers gone = new Writers(removed, SIZE, DEPTH, 1000);
      Writers stays = new Writers((BlkDriver) second.driver(), SIZE, DEPTH, 3);
      gone.begin();
      stays.begin();
      gone.awaitEnded(500);
      bus.remove(first);
      gone.await();
      assertEquals(DEPTH, gone.failures().size(), "each of its writers has seen it");
      stays.await();
      stays.assertNoneFailed();
      assertEquals(DriverDevice.State.REMOVED, first.state());
      assertEquals(List.of(second), bus.devices());

      // Plugged in again.
      DriverDevice again = bus.add(DrivenDisk.connect(old.socket()));
      BlkDriver driver = assertInstanceOf(BlkDriver.class, again.driver());
      byte[] data = Patterns.random(9, MIB);
      driver.write(0, MemorySegment.ofArray(data));
      byte[] back = new byte[MIB];
      driver.read(0, MemorySegment.ofArray(back));
      Patterns.assertSame(data, back, "what was read");

      bus.freeze();
      assertEquals(DriverDevice.State.FROZEN, again.state());
      bus.restore();
      driver.read(0, MemorySegment.ofArray(new byte[512]));
      assertSame(driver, again.driver());
      told.clear();
      bus.unregister(type);
      assertTrue(told.contains("unbound HOST.sock") && told.contains("unbound LAB.sock"));
      assertNull(second.driver());
      Patterns.assertSame(
          stays.expected(), Files.readAllBytes(folder.resolve("LAB.img")), "the other image");
    }
    assertEquals(2, told.size(), told.toString());
  }

  private void checkImage(DriverDevice device, StorageDaemon.Version version) throws IOException {
    byte[] all = new byte[SIZE];
    assertInstanceOf(BlkDriver.class, device.driver()).read(0, MemorySegment.ofArray(all));
    Patterns.assertSame(Patterns.random(version.ordinal(), SIZE), all, version.name());
  }
}
