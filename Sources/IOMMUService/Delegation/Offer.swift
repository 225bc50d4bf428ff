import CLinux
import Glibc
import IOMMU
import LinuxIO

/// A one-shot socket on which an iommufd waits for its taker, as KubeVirt's plugin hands it over: one connection, one
/// byte with the descriptor, one byte back. Only that byte makes it the taker's.
final class Offer {
    /// What becomes of it.
    enum End {
        /// By this process; nil: it cannot be seen from here.
        case taken(OtherProcess?)
        /// Nobody came, or who came did not take it.
        case withdrawn
    }

    /// Whose session it is of.
    let session: Session
    /// Where it waits.
    let path: String
    private let context: any ContextOffer
    private let uid: UInt32
    private let loop: EventLoop
    private let onEnd: (Offer, End) -> Void
    private var acceptor: Acceptor?
    private var timer: TimerID?
    private var taker: PacketSocket?
    private var watch: DescriptorWatch?
    private var isOver = false

    /// Opens the socket.
    ///
    /// - Parameters:
    ///   - uid: who may take it, besides root.
    ///   - onEnd: called once; not for what ``withdraw()`` ends.
    init(
        _ context: any ContextOffer, of session: Session, for uid: UInt32, on listener: UnixListener,
        seconds: UInt64, loop: EventLoop, onEnd: @escaping (Offer, End) -> Void
    ) throws(SystemError) {
        (self.context, self.session, self.uid, self.loop, self.onEnd) = (context, session, uid, loop, onEnd)
        path = listener.path ?? ""
        let acceptor = Acceptor(listener, loop: loop, isFull: { false }) { [unowned self] socket in take(socket) }
        try acceptor.start()
        self.acceptor = acceptor
        timer = loop.schedule(after: seconds &* 1_000_000_000) { [unowned self] in end(.withdrawn) }
    }

    /// Nobody gets it any more.
    func withdraw() {
        guard !isOver else { return }
        close()
        context.withdraw()
    }

    private func close() {
        isOver = true
        timer.map(loop.cancel)
        watch?.end()
        watch = nil
        taker = nil
        stopListening()
    }

    private func stopListening() {
        // It is on the call stack when somebody has come.
        guard let acceptor else { return }
        acceptor.stop()
        self.acceptor = nil
        loop.later { _ = acceptor }
    }

    private func end(_ end: End) {
        guard !isOver else { return }
        close()
        switch end {
        case .taken: break
        case .withdrawn: context.withdraw()
        }
        onEnd(self, end)
    }

    /// Somebody has come: whoever may not take it is turned away without a word, and the next one is waited for.
    private func take(_ socket: consuming Descriptor) {
        guard !isOver, taker == nil, let peer = PeerCredentials(of: socket.number), peer.uid == uid || peer.uid == 0
        else { return }
        stopListening()
        guard context.isOpen else { return end(.withdrawn) }
        let taker = PacketSocket(adopting: socket)
        do throws(SystemError) {
            try taker.send([0], with: [context.iommufd.number])
            watch = try loop.watch(taker.descriptor) { [unowned self] in hear() }
        } catch {
            return end(.withdrawn)
        }
        self.taker = consume taker
    }

    /// One byte, or the end of the connection.
    private func hear() {
        guard let socket = taker?.descriptor.number else { return }
        var byte: UInt8 = 0
        let count = recv(socket, &byte, 1, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        let process = try? OtherProcess(peerOf: socket)
        guard count == 1, context.accept() else { return end(.withdrawn) }
        end(.taken(process))
    }
}
