// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.drivers.blk;

/** What a queue of a block driver has done since it was made. Immutable. */
public final class BlkStats {
  private final long[] requests;
  private final long bytesRead;
  private final long bytesWritten;
  private final long ioErrors;
  private final long unsupported;
  private final long failed;

  BlkStats(
      long[] requests,
      long bytesRead,
      long bytesWritten,
      long ioErrors,
      long unsupported,
      long failed) {
    this.requests = requests;
    this.bytesRead = bytesRead;
    this.bytesWritten = bytesWritten;
    this.ioErrors = ioErrors;
    this.unsupported = unsupported;
    this.failed = failed;
  }

  /** How many requests of this kind have ended, whatever their status. */
  public long requests(BlkOperation operation) {
    return requests[operation.ordinal()];
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

  /** Requests that ended without an answer that counts. */
  public long failed() {
    return failed;
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (BlkOperation operation : BlkOperation.values()) {
      if (requests(operation) != 0) {
        text.append(operation).append(' ').append(requests(operation)).append(", ");
      }
    }
    return text.append(bytesRead)
        .append(" bytes read, ")
        .append(bytesWritten)
        .append(" bytes written, ")
        .append(ioErrors)
        .append(" errors, ")
        .append(unsupported)
        .append(" unsupported, ")
        .append(failed)
        .append(" failed")
        .toString();
  }
}
