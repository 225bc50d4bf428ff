import CLinux
import Glibc
import LinuxIO

/// One HTTP request and its answer; the connection is closed after it.
final class Scraper: EventHandler {
    private enum Phase {
        case receiving
        case sending
        /// All is sent. What the client still sends is thrown away until it has noticed: closing on unread bytes would
        /// turn the answer into ECONNRESET.
        case lingering
        case ended
    }

    private static let maximumHead = 8192
    /// Nanoseconds for everything.
    private static let patience: UInt64 = 5_000_000_000
    /// Bytes read of what nobody wants, the body of a POST for one.
    private static let maximumUnwanted = 1 << 20

    private let socket: Descriptor
    private let loop: EventLoop
    private let page: (ExpositionFormat) -> String
    private let onEnd: (Scraper) -> Void
    private var registration: EventLoop.Registration?
    private var deadline: TimerID?
    private var phase = Phase.receiving
    private var request: [UInt8] = []
    private var response: [UInt8] = []
    private var sent = 0
    private var unwanted = 0

    init(
        _ socket: consuming Descriptor, loop: EventLoop, page: @escaping (ExpositionFormat) -> String,
        onEnd: @escaping (Scraper) -> Void
    ) {
        self.socket = socket
        self.loop = loop
        self.page = page
        self.onEnd = onEnd
    }

    /// It has not asked for anything yet.
    var isSilent: Bool { phase == .receiving }

    /// Answers at once where the request is there already.
    func start() {
        registration = try? loop.register(socket.number, for: .input, self)
        guard registration != nil else { return end() }
        deadline = loop.schedule(after: Self.patience) { [weak self] in self?.end() }
        receive()
    }

    func end() {
        guard phase != .ended else { return }
        phase = .ended
        deadline.map(loop.cancel)
        if let registration { loop.unregister(registration) }
        onEnd(self)
    }

    func ready(_ events: EventMask) {
        switch phase {
        case .receiving: receive()
        case .sending: send()
        case .lingering: discard()
        case .ended: break
        }
    }

    /// Bytes that were there, `nil` if there are none now; the end of the input ends all.
    private func read() -> ArraySlice<UInt8>? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(socket.number, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return nil }
        guard count > 0 else {
            end()
            return nil
        }
        return buffer.prefix(count)
    }

    private func receive() {
        guard let bytes = read() else { return }
        request += bytes
        switch HTTPRequestHead.read(request) {
        case .incomplete:
            if request.count > Self.maximumHead { answer(.tooLarge) }
        case .malformed: answer(.malformed)
        case .complete(let head): answer(HTTPResponse(to: head, page: page), withoutBody: head.method == "HEAD")
        }
    }

    private func answer(_ answer: HTTPResponse, withoutBody: Bool = false) {
        response = answer.bytes(withoutBody: withoutBody)
        phase = .sending
        watch(for: .output)
        send()
    }

    private func send() {
        while sent < response.count {
            let count = response.withUnsafeBytes { bytes in
                clinux_send(socket.number, bytes.baseAddress?.advanced(by: sent), bytes.count - sent, nil, 0)
            }
            if count == -Int(EAGAIN) { return }
            guard count > 0 else { return end() }
            sent += count
        }
        phase = .lingering
        _ = shutdown(socket.number, Int32(SHUT_WR))
        watch(for: .input)
    }

    private func discard() {
        guard let bytes = read() else { return }
        unwanted += bytes.count
        if unwanted > Self.maximumUnwanted { end() }
    }

    private func watch(for interest: EventMask) {
        if let registration { loop.modify(registration, for: interest) }
    }
}
