import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// A daemon whose kernel has no memory for what it asks.
struct RefusedSystemCallTests {
    /// Becomes its arguments behind the first, with a filter that answers io_setup(2) with EAGAIN, and with ENOMEM
    /// memfd_create(2) of what may be sealed; where the first is "signals", io_setup is let through.
    private static let filter = """
        import ctypes, os, platform, struct, sys
        io_setup, memfd_create = (206, 319) if platform.machine() == 'x86_64' else (0, 279)
        io_setup = 1 << 30 if sys.argv.pop(1) == 'signals' else io_setup
        LOAD, IS, RETURN, ERRNO, ALLOW = 0x20, 0x15, 0x06, 0x50000, 0x7fff0000
        steps = [(LOAD, 0, 0, 0), (IS, io_setup, 3, 0), (IS, memfd_create, 0, 4), (LOAD, 24, 0, 0), (IS, 3, 1, 2),
                 (RETURN, ERRNO | 11, 0, 0), (RETURN, ERRNO | 12, 0, 0), (RETURN, ALLOW, 0, 0)]
        code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', c, t, f, k) for c, k, t, f in steps))
        program = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(steps), ctypes.addressof(code)))
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.addressof(program), 0, 0) == 0
        os.execv(sys.argv[1], sys.argv[1:])
        """

    @Test func whatTheKernelHasNotIsNamed() throws {
        let daemon = try RunningDaemon(launcher: ["/usr/bin/python3", "-I", "-S", "-c", Self.filter, "none"])
        let client = try daemon.connect()
        try client.expect(ENOMEM, "no_memory", "memory.create", #"{"size":4096}"#)
        _ = try client.call("vsmmu.create")
        let signal = clinux_make_eventfd()
        try #require(signal >= 0)
        defer { close(signal) }
        try client.expect(EAGAIN, "no_signals", "vsmmu.set_irq", #"{"vsmmu":1,"irq":"evtq"}"#, descriptors: [signal])
        try client.expect(EAGAIN, "no_signals", "vsmmu.ring_open", #"{"vsmmu":1,"entries":8}"#)
        #expect(try client.id("vsmmu.create", "{}", "vsmmu") == 2, "it goes on")
    }

    @Test func aRingWithoutMemoryIsNone() throws {
        let daemon = try RunningDaemon(
            launcher: ["/usr/bin/python3", "-I", "-S", "-c", Self.filter, "signals"])
        let client = try daemon.connect()
        _ = try client.call("vsmmu.create")
        try client.expect(ENOMEM, "no_memory", "vsmmu.ring_open", #"{"vsmmu":1,"entries":8}"#)
        try client.expect(ENOENT, "no_ring", "vsmmu.ring_close", #"{"vsmmu":1}"#)
    }
}
