// SPDX-License-Identifier: Apache-2.0
package io.jvirtio.guest;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** A QEMU with its serial console. Ended by its process id when closed, whatever it does. */
final class Guest implements AutoCloseable {
  private static final Duration DEADLINE = Duration.ofSeconds(60);

  private final Process process;
  private final Path log;
  private final long deadline;
  private final StringBuilder console = new StringBuilder();
  private final Map<String, String> values = new ConcurrentHashMap<>();
  private final Thread reader;
  private boolean ended;

  private Guest(List<String> command, Path log, Duration patience) throws IOException {
    this.log = log;
    deadline = System.nanoTime() + patience.toNanos();
    process = new ProcessBuilder(command).redirectError(log.toFile()).start();
    reader = Thread.ofPlatform().daemon().name("console").start(this::read);
  }

  /** Collects what the machine shall be. Not thread-safe. */
  static final class Builder {
    private final Machine machine;
    private final Path folder;
    private final List<String> options = new ArrayList<>();
    private final Map<String, String> moduleOptions = new HashMap<>();
    private Duration patience = DEADLINE;
    private Path qemu;
    private String type = "pc";
    private boolean shared = true;
    private int cpus = 1;
    private int disks;

    private Builder(Machine machine, Path folder) {
      this.machine = machine;
      this.folder = folder;
      this.qemu = machine.qemu();
    }

    /** The type of the machine, such as "q35"; otherwise it is a pc. */
    Builder type(String name) {
      type = name;
      return this;
    }

    /** Keeps its memory for itself: no other process can map it. */
    Builder ownMemory() {
      shared = false;
      return this;
    }

    /** Takes another firmware than SeaBIOS, by its path in the lab's Debian. */
    Builder firmware(String file) {
      options.addAll(List.of("-bios", file));
      return this;
    }

    /** Lets it take longer until its end than most do. */
    Builder patience(Duration duration) {
      patience = duration;
      return this;
    }

    /** Gives a module of the guest's kernel an option, such as "force_legacy=1". */
    Builder moduleOption(String module, String option) {
      moduleOptions.put(module, option);
      return this;
    }

    /** Starts again after a reset, where it would end otherwise. */
    Builder reboots() {
      options.addAll(List.of("-action", "reboot=reset"));
      return this;
    }

    /** How many virtual processors. */
    Builder cpus(int count) {
      cpus = count;
      return this;
    }

    /** Gives it a monitor at a socket, for {@link Qmp}. */
    Builder monitor(Path socket) {
      options.addAll(List.of("-qmp", "unix:" + socket + ",server=on,wait=off"));
      return this;
    }

    /** Adds a disk on its bus; the options are for vhost-user ones. */
    Builder disk(ServedDisk disk, String... deviceOptions) {
      return disk.bus().isPci() ? pciDisk(disk.socket()) : disk(disk.socket(), deviceOptions);
    }

    /** Adds a disk that is a PCI function, first in the order to boot; only a new QEMU can. */
    Builder pciDisk(Path socket) {
      qemu = Machine.DEBIAN_13.qemu();
      options.add("-device");
      options.add(
          String.format(
              "{\"driver\":\"vfio-user-pci\",\"bootindex\":%d,"
                  + "\"socket\":{\"type\":\"unix\",\"path\":\"%s\"}}",
              // A kernel that QEMU loads comes before all disks, with 0.
              ++disks, socket));
      return this;
    }

    /** Adds a disk, with options of QEMU's vhost-user-blk-pci such as "packed=off", or none. */
    Builder disk(Path socket, String... deviceOptions) {
      return add(socket, "", deviceOptions);
    }

    /** Adds any other device that QEMU has a vhost-user front-end for, such as "rng". */
    Builder device(String type, Path socket) {
      options.addAll(List.of("-chardev", "socket,id=" + type + ",path=" + socket));
      options.addAll(List.of("-device", "vhost-user-" + type + "-pci,chardev=" + type));
      return this;
    }

    /** Adds a disk whose connection QEMU makes again when it breaks. */
    Builder reconnectingDisk(Path socket) throws IOException, InterruptedException {
      return add(socket, "," + machine.reconnectOption());
    }

    private Builder add(Path socket, String chardevOptions, String... deviceOptions) {
      String id = "disk" + disks++;
      options.add("-chardev");
      options.add("socket,id=" + id + ",path=" + socket + chardevOptions);
      options.add("-device");
      String device = "vhost-user-blk-pci,chardev=" + id;
      for (String option : deviceOptions) {
        device += "," + option;
      }
      options.add(device);
      return this;
    }

    /** Boots the machine's Linux, which runs a script ({@link Initramfs#make}). */
    Guest boot(String script) throws IOException, InterruptedException {
      Path initrd = Files.createTempFile(folder, "initrd", ".cpio");
      Files.write(initrd, Initramfs.make(machine, script, moduleOptions));
      options.addAll(List.of("-kernel", machine.kernel().toString()));
      options.addAll(List.of("-initrd", initrd.toString()));
      StringBuilder arguments = new StringBuilder("console=ttyS0 quiet panic=-1");
      // For what is built in.
      moduleOptions.forEach((name, option) -> arguments.append(" " + name + "." + option));
      options.addAll(List.of("-append", arguments.toString()));
      return bootFirmware();
    }

    /** Starts the machine without a kernel: its firmware looks for something to boot. */
    Guest bootFirmware() throws IOException {
      List<String> command = new ArrayList<>();
      command.add(qemu.toString());
      command.addAll(List.of("-accel", "tcg", "-m", "256", "-smp", String.valueOf(cpus)));
      if (shared) {
        command.addAll(List.of("-object", "memory-backend-memfd,id=mem,size=256M,share=on"));
      }
      command.addAll(List.of("-machine", type + (shared ? ",memory-backend=mem" : "")));
      command.add("-nodefaults");
      command.addAll(List.of("-display", "none", "-serial", "stdio", "-no-reboot"));
      command.addAll(options);
      return new Guest(command, Files.createTempFile(folder, "qemu", ".log"), patience);
    }
  }

  /** Begins the description of a machine whose files go to a folder of the test. */
  static Builder on(Machine machine, Path folder) {
    return new Builder(machine, folder);
  }

  private void read() {
    try (BufferedReader lines = process.inputReader(StandardCharsets.ISO_8859_1)) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        String text = line.strip();
        int equals = text.indexOf('=');
        if (text.startsWith("@") && equals > 0) {
          values.put(text.substring(1, equals), text.substring(equals + 1));
        }
        synchronized (this) {
          console.append(text).append('\n');
          notifyAll();
        }
      }
    } catch (IOException e) {
      // The machine was ended while it ran; what it said until then counts.
      synchronized (this) {
        console.append("(").append(e.getMessage()).append(")\n");
      }
    } finally {
      synchronized (this) {
        ended = true;
        notifyAll();
      }
    }
  }

  /** Waits until the console has shown a text. */
  synchronized void await(String text) throws InterruptedException {
    while (console.indexOf(text) < 0) {
      long millis = (deadline - System.nanoTime()) / 1_000_000;
      if (ended || millis <= 0 || console.indexOf(Initramfs.FAILED) >= 0) {
        // So that the reason, which follows, is on record too.
        wait(1000);
        throw new AssertionError("the guest has not shown \"" + text + "\":\n" + report());
      }
      wait(millis);
    }
  }

  /** Types a line on the console. */
  void type(String line) throws IOException {
    process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.US_ASCII));
    process.getOutputStream().flush();
  }

  /** Waits until the script has succeeded and the machine is off. */
  void awaitEnd() throws InterruptedException {
    await(Initramfs.DONE);
    long nanos = deadline - System.nanoTime();
    if (!process.waitFor(nanos, TimeUnit.NANOSECONDS) || process.exitValue() != 0) {
      throw new AssertionError("QEMU has not ended well:\n" + report());
    }
    reader.join();
  }

  /** What the guest has said about a name. */
  String value(String name) {
    String value = values.get(name);
    if (value == null) {
      throw new AssertionError("the guest has not said " + name + ":\n" + report());
    }
    return value;
  }

  private synchronized String report() {
    try {
      return console + "-- QEMU:\n" + Files.readString(log, StandardCharsets.ISO_8859_1);
    } catch (IOException e) {
      return console.toString();
    }
  }

  @Override
  public void close() {
    process.destroyForcibly();
    process.onExit().join();
  }
}
