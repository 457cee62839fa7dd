// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.memory;

/** Every way in which a peer, driver or device, can break the rules or fail. */
public enum FaultReason {
  ADDRESS_OUTSIDE_MEMORY("address outside guest memory"),
  ADDRESS_OVERFLOW("address and length overflow 64 bits"),
  CROSSES_REGION("structure crosses the edge of a memory region"),
  MEMORY_VANISHED("mapped memory vanished (file truncated)"),
  QUEUE_SIZE_INVALID("queue size not allowed"),
  RING_MISALIGNED("ring address not aligned"),
  QUEUE_INDEX_INVALID("no such queue"),
  AVAIL_IDX_JUMP("available idx moved by more than the queue size"),
  RING_START_INVALID("start of a packed ring not below its size"),
  RING_OVERRUN("buffer made available over one that is in flight"),
  DESCRIPTOR_NOT_AVAILABLE("descriptor of a list not marked available"),
  HEAD_OUT_OF_RANGE("head not below the queue size"),
  HEAD_IN_FLIGHT("head or buffer id made available again before it was used"),
  NEXT_OUT_OF_RANGE("next not below the size of its table"),
  CHAIN_TOO_LONG("descriptor chain longer than allowed, or a loop"),
  CHAIN_LENGTH_OVERFLOW("descriptor chain longer than 2^32 bytes"),
  WRITABLE_BEFORE_READABLE("device-readable descriptor after a device-writable one"),
  INDIRECT_NOT_NEGOTIATED("indirect descriptor without VIRTIO_F_INDIRECT_DESC"),
  INDIRECT_IN_INDIRECT("indirect descriptor inside an indirect table"),
  INDIRECT_WITH_NEXT("indirect descriptor with VIRTQ_DESC_F_NEXT"),
  INDIRECT_LENGTH("length of an indirect table not a positive multiple of 16"),
  BUFFER_TOO_SHORT("buffer too short for what the device must read or write"),
  REQUEST_MALFORMED("request cannot be answered in its buffer"),
  FEATURES_INVALID("features that were not offered or miss a dependency"),
  CONFIG_ACCESS_INVALID("access outside the configuration space or to a read-only field"),
  USED_IDX_JUMP("used idx moved by more than what is available"),
  USED_ID_OUT_OF_RANGE("id of a used element not below the queue size"),
  USED_ID_NOT_AVAILABLE("id of a used element is no available buffer"),
  USED_LENGTH_TOO_LONG("device says it wrote more than the buffer holds"),
  DEVICE_NEEDS_RESET("the device needs a reset"),
  DEVICE_GONE("the device is gone"),
  DEVICE_SILENT("the device does not answer"),
  DRIVER_ERROR("error of the driver implementation"),
  DEVICE_ERROR("error of the device implementation");

  private final String text;

  FaultReason(String text) {
    this.text = text;
  }

  /** What happened, for people. */
  public String text() {
    return text;
  }
}
