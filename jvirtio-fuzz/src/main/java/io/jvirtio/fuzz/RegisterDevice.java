// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.fuzz;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.SharedMemory;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.Struct;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** An echo with all that registers can show. */
final class RegisterDevice implements VirtioDevice {
  private final EchoDevice echo = new EchoDevice();
  private final MemorySegment shared = Arena.ofAuto().allocate(5000);
  private final ConfigSpace config =
      new ConfigSpace(Struct.named("fuzz").le64("big").le16("half").u8("bytes", 3).size(13))
          .writable("big", value -> {})
          .writable("bytes", value -> {});

  @Override
  public int deviceId() {
    return echo.deviceId();
  }

  @Override
  public int queueCount() {
    return 2;
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public List<SharedMemory> sharedMemory() {
    return List.of(new SharedMemory(1, shared));
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    return echo.startQueue(queue, owner);
  }
}
