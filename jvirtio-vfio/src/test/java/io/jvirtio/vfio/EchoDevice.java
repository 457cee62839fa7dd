// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.vfio;

import io.jvirtio.device.ConfigSpace;
import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.memory.PeerFault;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.FeatureBits;
import io.jvirtio.spec.Struct;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** Copies what is readable to what is writable, at once or when a test lets it. */
class EchoDevice implements VirtioDevice {
  static final int QUEUES = 3;
  static final int MAX_SIZE = 64;
  static final int FEATURE = 5;
  static final int REFUSED_FEATURE = 6;

  final AtomicInteger held = new AtomicInteger();
  private final ConfigSpace config =
      new ConfigSpace(Struct.named("echo").le64("capacity").u8("mode").u8("fixed").size(10))
          .set("capacity", 0x1122334455667788L)
          .set("mode", 1)
          .writable("mode", value -> {});
  private volatile boolean holding;
  private volatile QueueOwner lastOwner;

  /** Buffers stay in flight from now on. */
  void hold() {
    holding = true;
  }

  /** Everything held is used, and nothing is held any more. */
  void release() {
    holding = false;
    lastOwner.execute(() -> {});
  }

  @Override
  public int deviceId() {
    return 42;
  }

  @Override
  public int queueCount() {
    return QUEUES;
  }

  @Override
  public int queueMaxSize(int queue) {
    return MAX_SIZE;
  }

  @Override
  public FeatureBits features() {
    return FeatureBits.of(FEATURE, REFUSED_FEATURE);
  }

  @Override
  public boolean accepts(FeatureBits negotiated) {
    return !negotiated.has(REFUSED_FEATURE);
  }

  @Override
  public ConfigSpace config() {
    return config;
  }

  @Override
  public QueueHandler startQueue(DeviceQueue queue, QueueOwner owner) {
    lastOwner = owner;
    return new Handler(queue);
  }

  private final class Handler implements QueueHandler {
    private final DeviceQueue queue;
    private final List<DescriptorChain> mine = new ArrayList<>();

    Handler(DeviceQueue queue) {
      this.queue = queue;
    }

    @Override
    public void available(DeviceQueue ready) throws PeerFault {
      for (DescriptorChain chain = ready.pop(); chain != null; chain = ready.pop()) {
        if (holding) {
          mine.add(chain);
          held.incrementAndGet();
        } else {
          echo(chain);
        }
      }
    }

    @Override
    public boolean poll() {
      if (holding || mine.isEmpty()) {
        return false;
      }
      held.addAndGet(-mine.size());
      mine.forEach(this::echo);
      mine.clear();
      return true;
    }

    private void echo(DescriptorChain chain) {
      queue.push(chain, chain.writer().copyFrom(chain.reader()));
    }
  }
}
