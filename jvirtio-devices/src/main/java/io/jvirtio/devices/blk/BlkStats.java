// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.devices.blk;

/** What a block device has done since it was made, over all queues and resets. Immutable. */
public final class BlkStats {
  static final BlkStats ZERO = new BlkStats(new long[BlkRequestType.values().length], 0, 0, 0, 0);

  private final long[] requests;
  private final long bytesRead;
  private final long bytesWritten;
  private final long ioErrors;
  private final long unsupported;

  BlkStats(long[] requests, long bytesRead, long bytesWritten, long ioErrors, long unsupported) {
    this.requests = requests;
    this.bytesRead = bytesRead;
    this.bytesWritten = bytesWritten;
    this.ioErrors = ioErrors;
    this.unsupported = unsupported;
  }

  /** How many requests of this kind have ended, whatever their status. */
  public long requests(BlkRequestType type) {
    return requests[type.ordinal()];
  }

  /** Bytes of all successful reads. */
  public long bytesRead() {
    return bytesRead;
  }

  /** Bytes of all successful writes. */
  public long bytesWritten() {
    return bytesWritten;
  }

  /** Requests that ended with VIRTIO_BLK_S_IOERR. */
  public long ioErrors() {
    return ioErrors;
  }

  /** Requests that ended with VIRTIO_BLK_S_UNSUPP. */
  public long unsupported() {
    return unsupported;
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (BlkRequestType type : BlkRequestType.values()) {
      if (requests(type) != 0) {
        text.append(type).append(' ').append(requests(type)).append(", ");
      }
    }
    return text.append(bytesRead)
        .append(" bytes read, ")
        .append(bytesWritten)
        .append(" bytes written, ")
        .append(ioErrors)
        .append(" errors, ")
        .append(unsupported)
        .append(" unsupported")
        .toString();
  }
}
