import LinuxIO

/// Answers HTTP requests with the metrics as text.
final class MetricsEndpoint {
    /// Connections at one time. The next one takes the place of the oldest that has asked for nothing yet: who is
    /// silent cannot keep others out.
    private static let maximumScrapers = 64

    private let loop: EventLoop
    private let page: (ExpositionFormat) -> String
    private var acceptors: [Acceptor] = []
    /// The oldest first.
    private var scrapers: [Scraper] = []

    init(
        _ listeners: [UnixListener], loop: EventLoop, page: @escaping (ExpositionFormat) -> String
    ) throws(SystemError) {
        self.loop = loop
        self.page = page
        for listener in listeners {
            let acceptor = Acceptor(listener, loop: loop, isFull: { false }) { [unowned self] socket in serve(socket) }
            try acceptor.start()
            acceptors.append(acceptor)
        }
    }

    func shutDown() {
        for acceptor in acceptors { acceptor.stop() }
        acceptors.removeAll()
        for scraper in scrapers { scraper.end() }
    }

    private func serve(_ socket: consuming Descriptor) {
        if scrapers.count >= Self.maximumScrapers {
            (scrapers.first { $0.isSilent } ?? scrapers.first)?.end()
        }
        let scraper = Scraper(socket, loop: loop, page: page) { [weak self] in self?.forget($0) }
        scrapers.append(scraper)
        scraper.start()
    }

    private func forget(_ scraper: Scraper) {
        scrapers.removeAll { $0 === scraper }
        // It may have stopped for want of descriptors.
        for acceptor in acceptors { acceptor.resume() }
    }
}
