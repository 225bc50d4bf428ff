import CLinux
import Glibc

/// Signals as events of a loop (signalfd).
private final class SignalReader: EventHandler {
    private let descriptor: Descriptor
    private let receive: (Int32) -> Void

    init(_ signals: [Int32], _ receive: @escaping (Int32) -> Void) throws(SystemError) {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        // A blocked signal stays pending for the descriptor instead of killing the process.
        let error = pthread_sigmask(SIG_BLOCK, &set, nil)
        guard error == 0 else { throw SystemError(errno: error, "pthread_sigmask") }
        let number = signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
        guard number >= 0 else { throw .current("signalfd") }
        descriptor = Descriptor(adopting: number)
        self.receive = receive
    }

    func register(with loop: EventLoop) throws(SystemError) {
        _ = try loop.register(descriptor.number, for: .input, self)
    }

    func ready(_ events: EventMask) {
        var info = signalfd_siginfo()
        while read(descriptor.number, &info, MemoryLayout.size(ofValue: info)) == MemoryLayout.size(ofValue: info) {
            receive(Int32(bitPattern: info.ssi_signo))
        }
    }
}

extension EventLoop {
    /// Receives signals on the loop instead of by their default action.
    ///
    /// To be called before any other thread starts: threads inherit the signal mask.
    public func onSignals(_ signals: [Int32], _ receive: @escaping (_ signal: Int32) -> Void) throws(SystemError) {
        try SignalReader(signals, receive).register(with: self)
    }
}
