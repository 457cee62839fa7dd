// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.examples;

import io.jvirtio.device.QueueHandler;
import io.jvirtio.device.QueueOwner;
import io.jvirtio.device.VirtioDevice;
import io.jvirtio.queue.DescriptorChain;
import io.jvirtio.queue.DeviceQueue;
import io.jvirtio.spec.DeviceType;
import java.security.SecureRandom;

/** An entropy device (virtio 1.4, Entropy Device): fills the driver's buffers with random bytes. */
public final class RngDevice implements VirtioDevice {
  private final SecureRandom random = new SecureRandom();
  private final byte[] bytes = new byte[256];

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
        int length = (int) Math.min(bytes.length, chain.writableLength());
        random.nextBytes(bytes);
        chain.writer().bytes(bytes, 0, length);
        requests.push(chain, length);
      }
    };
  }
}
