// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.transport;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.SharedMemory;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.util.ArrayList;
import java.util.List;

/** A device behind registers: uses each buffer at once, or when it is told to. */
public final class TestDevice implements VirtioDevice {
  /** The only feature bit that it offers. */
  public static final int FEATURE = 3;

  /** The size of each queue, in descriptors, at most. */
  public static final int MAX_SIZE = 16;

  /** Of 20 bytes: with {@code word} the driver can do nothing but read it. */
  public final ConfigSpace config =
      new ConfigSpace(
              Struct.named("test").le64("big").le32("word").le16("half").u8("mac", 6).size(20))
          .set("big", 0x1122334455667788L)
          .set("word", 0x99aabbccL)
          .set("half", 0xddee)
          .writable("big", value -> {})
          .writable("half", value -> {})
          .writable("mac", value -> {});

  private final int type;
  private final int queues;

  /** Empty, unless a test says otherwise. */
  public List<SharedMemory> shared = List.of();

  /** Buffers are kept from now on. */
  public volatile boolean holding;

  /** How often it was reset. */
  public int resets;

  /** Runs whenever the size of a queue is asked for. */
  public Runnable onQueueMaxSize = () -> {};

  /** A device of a type, with so many queues. */
  public TestDevice(int type, int queues) {
    this.type = type;
    this.queues = queues;
  }

  @Override
  public int deviceId() {
    return type;
  }

  @Override
  public int queueCount() {
    return queues;
  }

  @Override
  public int queueMaxSize(int queue) {
    onQueueMaxSize.run();
    return MAX_SIZE;
  }

  @Override
  public int notificationConfigData(int queue) {
    return 0x700 + queue;
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.of(FEATURE);
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public List<SharedMemory> sharedMemory() {
    return shared;
  }

  @Override
  public void reset() {
    resets++;
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    List<DescriptorChain> held = new ArrayList<>();
    return new QueueHandler() {
      @Override
      public void available(DeviceQueue ready) throws PeerFault {
        for (DescriptorChain chain = ready.pop(); chain != null; chain = ready.pop()) {
          held.add(chain);
        }
        poll();
      }

      @Override
      public boolean poll() {
        if (holding || held.isEmpty()) {
          return false;
        }
        held.forEach(chain -> queue.push(chain, 0));
        held.clear();
        return true;
      }
    };
  }
}
