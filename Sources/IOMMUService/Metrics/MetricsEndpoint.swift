import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// Answers HTTP requests on a Unix socket with the metrics as text.
final class MetricsEndpoint {
    /// Scrapers at one time; more wait in the listen queue.
    private static let maximumScrapers = 8

    private let loop: EventLoop
    private let render: () -> String
    private var acceptor: Acceptor?
    private var scrapers: [Int32: Scraper] = [:]

    init(path: String, loop: EventLoop, render: @escaping () -> String) throws(SystemError) {
        self.loop = loop
        self.render = render
        let acceptor = Acceptor(
            try UnixListener(path: path), loop: loop,
            isFull: { [unowned self] in scrapers.count >= Self.maximumScrapers }
        ) { [unowned self] in serve($0.take()) }
        try acceptor.start()
        self.acceptor = acceptor
    }

    func shutDown() {
        acceptor?.stop()
        acceptor = nil
        for scraper in scrapers.values { scraper.end() }
    }

    private func serve(_ socket: Int32) {
        let scraper = Scraper(socket, loop: loop, render: render) { [weak self] in self?.forget(socket) }
        scrapers[socket] = scraper
        scraper.start()
    }

    private func forget(_ socket: Int32) {
        scrapers[socket] = nil
        acceptor?.resume()
    }
}

/// One HTTP request and its answer; the connection is closed after it.
private final class Scraper: EventHandler {
    private static let maximumRequest = 8192
    private static let patience: UInt64 = 5_000_000_000

    private let socket: Int32
    private let loop: EventLoop
    private let render: () -> String
    private let onEnd: () -> Void
    private var registration: EventLoop.Registration?
    private var deadline: TimerID?
    private var request: [UInt8] = []
    private var response: [UInt8] = []
    private var sent = 0

    init(_ socket: Int32, loop: EventLoop, render: @escaping () -> String, onEnd: @escaping () -> Void) {
        self.socket = socket
        self.loop = loop
        self.render = render
        self.onEnd = onEnd
    }

    func start() {
        registration = try? loop.register(socket, for: .input, self)
        deadline = loop.schedule(after: Self.patience) { [weak self] in self?.end() }
        if registration == nil { end() }
    }

    func end() {
        guard let timer = deadline else { return }
        deadline = nil
        loop.cancel(timer)
        if let registration { loop.unregister(registration) }
        _ = close(socket)
        onEnd()
    }

    func ready(_ events: EventMask) {
        response.isEmpty ? receive() : send()
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        guard count > 0 else { return end() }
        request += buffer.prefix(count)
        guard request.count <= Self.maximumRequest else { return end() }
        guard request.ends(with: "\r\n\r\n".utf8) else { return }
        answer()
    }

    private func answer() {
        let isRead = request.starts(with: "GET ".utf8)
        let body = isRead ? render() : "only GET is answered here\n"
        let status = isRead ? "200 OK" : "405 Method Not Allowed"
        let head = """
            HTTP/1.1 \(status)\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
            Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n
            """
        response = Array((head + body).utf8)
        if let registration { loop.modify(registration, for: .output) }
        send()
    }

    private func send() {
        while sent < response.count {
            let count = response.withUnsafeBytes { bytes in
                clinux_send(socket, bytes.baseAddress?.advanced(by: sent), bytes.count - sent, nil, 0)
            }
            if count == -Int(EAGAIN) || count == -Int(EINTR) { return }
            guard count > 0 else { return end() }
            sent += count
        }
        end()
    }
}

extension Array where Element == UInt8 {
    fileprivate func ends(with tail: some Collection<UInt8>) -> Bool { suffix(tail.count).elementsEqual(tail) }
}
