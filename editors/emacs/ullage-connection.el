;;; ullage-connection.el --- The server's process and requests to it  -*- lexical-binding: t; -*-

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; The server is started when it is needed, and again after a crash.  One
;; serves all folders.

;;; Code:

(require 'cl-lib)
(require 'jsonrpc)
(require 'subr-x)
(require 'url-util)

(declare-function ullage--first-folder "ullage")

(defgroup ullage nil
  "Conversations with local language models."
  :group 'tools
  :prefix "ullage-")

(defcustom ullage-server-program '("ullage" "serve")
  "The server's program and its arguments."
  :type '(repeat string))

(defcustom ullage-settings nil
  "Settings as a property list, such as (:context (:targetSize 8192)).
They are read when the server starts."
  :type '(plist :key-type symbol))

(defconst ullage--crashes 5
  "As many ends of the server in `ullage--within' are too many.")

(defconst ullage--within 180
  "Seconds.")

(defconst ullage--cancelled -32800
  "The code of a request that was stopped before it had a result.")

(defconst ullage--died -1
  "The code that jsonrpc.el gives requests to a server that has ended.")

(defvar ullage--connection nil
  "The connection to the server, nil while there is none.")

(defvar ullage--ready nil
  "Whether the server has answered the first request.")

(defvar ullage--lines nil
  "The names of the lines that the server knows.")

(defvar ullage--queue nil
  "What waits for the server, the newest first: a sender and its DONE each.")

(defvar ullage--over nil
  "Why only a command starts the server again, nil while that is not so.")

(defvar ullage--ends nil
  "When the server has crashed.")

(defvar ullage--listeners (make-hash-table :test #'equal)
  "Functions for the parts of a result, by its token.")

(defvar ullage--hearers nil
  "Functions for notifications, by method.")

(defvar ullage--start-functions nil
  "Called with the connection when a server is there.")

(defvar ullage--end-functions nil
  "Called when the server is gone.")

(defvar ullage--refusal-functions nil
  "Called with the parameters of a request that failed, and the failure.")

(defvar ullage--sent (make-hash-table :test #'equal)
  "The ids of requests whose results come in parts, by their tokens.")

(defclass ullage-connection (jsonrpc-process-connection)
  ((folder :initarg :folder :documentation "What the server was started for."))
  :documentation "A connection to the server.")

(cl-defmethod jsonrpc-connection-send ((connection ullage-connection)
                                       &key id result params
                                       &allow-other-keys)
  "Send a message over CONNECTION.
A RESULT that is a function is called with the means to answer the request ID
later: a person may think about it, and nothing waits meanwhile.  The ID of a
request whose PARAMS have a token is kept, so that it can be cancelled."
  (if (functionp result)
      (run-at-time 0 nil result
                   (lambda (answer)
                     (when (jsonrpc-running-p connection)
                       (jsonrpc-connection-send connection
                                                :id id :result answer))))
    (when-let ((token (and (listp params)
                           (plist-get params :partialResultToken))))
      (puthash token id ullage--sent))
    (cl-call-next-method)))

(defun ullage--get (plist &rest keys)
  "The value in PLIST at the end of the path KEYS."
  (dolist (key keys plist)
    (setq plist (plist-get plist key))))

(defun ullage--uri (folder)
  "The URI of FOLDER."
  (concat "file://" (url-hexify-string
                     (directory-file-name (expand-file-name folder))
                     url-path-allowed-chars)))

(defun ullage--file (uri)
  "The file name that URI stands for."
  (decode-coding-string (url-unhex-string (string-remove-prefix "file://" uri))
                        'utf-8))

(defun ullage--folder-item (folder)
  "FOLDER as the server is told of it."
  (list :uri (ullage--uri folder)
        :name (file-name-nondirectory (directory-file-name folder))))

(defun ullage--process ()
  "Start the server."
  (make-process :name "ullage"
                :command ullage-server-program
                :connection-type 'pipe
                :coding 'utf-8-emacs-unix
                :noquery t
                :stderr (get-buffer-create "*ullage stderr*")))

(defun ullage--connect (&optional folder)
  "Start the server for FOLDER, or where the person is, unless it is there."
  (unless (and ullage--connection (jsonrpc-running-p ullage--connection))
    (unless (executable-find (car ullage-server-program))
      (user-error "There is no program `%s'; install Ullage, or set `ullage-server-program'"
                  (car ullage-server-program)))
    (setq folder (or folder (ullage--first-folder))
          ullage--ready nil
          ullage--connection
          (apply #'make-instance 'ullage-connection
                 :name "ullage"
                 :folder folder
                 :process #'ullage--process
                 :request-dispatcher #'ullage--answer
                 :notification-dispatcher #'ullage--hear
                 :on-shutdown #'ullage--ended
                 (ullage--without-log))
          ullage--over nil)
    (condition-case nil
        (ullage--introduce folder)
      (error (ullage--ended ullage--connection))))) ; it ended at once

(defun ullage--without-log ()
  "Arguments that leave conversations out of the buffer of events."
  (if (fboundp 'jsonrpc--events-buffer-scrollback-size)
      '(:events-buffer-scrollback-size 0)
    '(:events-buffer-config (:size 0))))

(defun ullage--introduce (folder)
  "Tell the server of FOLDER and of Emacs."
  (let ((connection ullage--connection))
    (jsonrpc-async-request
     connection :initialize (ullage--introduction folder)
     :timeout nil
     :success-fn #'ullage--begin
     :error-fn (lambda (failure)
                 (unless (eq (plist-get failure :code) ullage--died)
                   (run-at-time 0 nil #'ullage--unwelcome connection failure))))))

(defun ullage--unwelcome (connection failure)
  "End the server of CONNECTION, whose FAILURE is that it does not begin."
  (when (eq connection ullage--connection)
    (ullage--leave (plist-get failure :message)
                   (lambda () (delete-process (jsonrpc--process connection))))))

(defun ullage--introduction (folder)
  "What the server is told first, of FOLDER and of Emacs."
  (list :processId (emacs-pid)
        :clientInfo (list :name "Emacs" :version emacs-version)
        :rootUri (ullage--uri folder)
        :workspaceFolders (vector (ullage--folder-item folder))
        :initializationOptions (or ullage-settings (make-hash-table))
        :capabilities '(:workspace (:workspaceFolders t :configuration t)
                        :window (:workDoneProgress t))))

(defun ullage--begin (result)
  "Go on with what waits, now that the server has answered with RESULT."
  (let ((queue (nreverse ullage--queue)))
    (setq ullage--lines
          (mapcar (lambda (name) (string-remove-prefix "ullage.server." name))
                  (ullage--get result :capabilities
                               :executeCommandProvider :commands))
          ullage--queue nil
          ullage--ready t)
    (jsonrpc-notify ullage--connection :initialized (make-hash-table))
    (run-hook-with-args 'ullage--start-functions ullage--connection)
    (dolist (waiting queue)
      (funcall (car waiting)))))

(defun ullage--ended (connection)
  "CONNECTION is over: start the server again, unless that does not help."
  (when (eq connection ullage--connection)
    (setq ullage--connection nil
          ullage--ready nil)
    (clrhash ullage--sent)
    (run-hooks 'ullage--end-functions)
    (let ((now (float-time)))
      (setq ullage--ends
            (cons now (cl-remove-if (lambda (at) (> (- now at) ullage--within))
                                    ullage--ends))))
    (if (< (length ullage--ends) ullage--crashes)
        (run-at-time 0 nil #'ullage--start-again (oref connection folder))
      (setq ullage--ends nil)
      (ullage--give-up
       (format "The server ended %d times in a short while and is left alone now.  `ullage doctor' in a terminal says what is wrong; any command starts it again"
               ullage--crashes)))))

(defun ullage--start-again (folder)
  "Start the server after a crash, for FOLDER as before."
  (condition-case failure
      (ullage--connect folder)
    (error (ullage--give-up (error-message-string failure)))))

(defun ullage--give-up (text)
  "Tell the person TEXT, and whoever waits for the server that it won't come."
  (let ((queue (nreverse ullage--queue)))
    (setq ullage--queue nil
          ullage--over text)
    (dolist (waiting queue)
      (funcall (cdr waiting) nil (list :code ullage--died :message text)))
    (message "Ullage: %s" text)))

(defun ullage--leave (text end)
  "Forget the connection, call END to end the server, and tell TEXT."
  (setq ullage--connection nil
        ullage--ready nil
        ullage--over text)            ; what fails meanwhile starts nothing
  (funcall end)
  (run-hooks 'ullage--end-functions)
  (ullage--give-up text))

(defun ullage-stop ()
  "Stop the server.  What was said is kept, and any command is a new start."
  (interactive)
  (when-let ((connection ullage--connection))
    (ullage--leave "The server was stopped; any command starts it again"
                   (lambda ()
                     (ignore-errors
                       (jsonrpc-request connection :shutdown nil :timeout 3)
                       (jsonrpc-notify connection :exit nil))
                     (jsonrpc-shutdown connection)))))

(defun ullage--request (method params done)
  "Send METHOD with PARAMS, at once or when the server is ready.
DONE is called with the result and the failure, of which one is nil."
  (ullage--connect)
  (let ((send (lambda () (ullage--send method params done))))
    (if ullage--ready
        (funcall send)
      (push (cons send done) ullage--queue))))

(defun ullage--send (method params done)
  "Send METHOD with PARAMS now; DONE is as that of `ullage--request'."
  (condition-case nil
      (jsonrpc-async-request
       ullage--connection method params
       :timeout nil
       :success-fn (lambda (result) (funcall done result nil))
       :error-fn (lambda (failure) (ullage--refuse params done failure)))
    (wrong-type-argument
     (funcall done nil '(:message "This holds bytes that are no text, so it was not sent.  Take them out and try again")))))

(defun ullage--refuse (params done failure)
  "Call DONE with FAILURE of a request with PARAMS.
Where the server has ended, its connection is cleared away first."
  (run-hook-with-args 'ullage--refusal-functions params failure)
  (if (eq (plist-get failure :code) ullage--died)
      (run-at-time 0 nil #'ullage--tell-end done)
    (funcall done nil failure)))

(defun ullage--tell-end (done)
  "Call DONE with what becomes of the server that has ended."
  (funcall done nil
           (list :code ullage--died
                 :message (or ullage--over "The server ended before it answered.  It is started again; what was said is kept"))))

(defun ullage--wait-for (method params)
  "Wait for the result of the request METHOD with PARAMS, and return it."
  (let (answer)
    (ullage--request method params
                     (lambda (&rest result-and-failure)
                       (setq answer result-and-failure)))
    (while (not answer)
      (accept-process-output nil 0.05))
    (when (cadr answer)
      (user-error "%s" (plist-get (cadr answer) :message)))
    (car answer)))

(defun ullage--cancel (token)
  "Ask the server to stop answering the request with TOKEN."
  (when ullage--ready
    (jsonrpc-notify ullage--connection :$/cancelRequest
                    (list :id (gethash token ullage--sent)))))

(defun ullage--failed (failure)
  "Show a FAILURE that the person has not caused by stopping something."
  (unless (eq (plist-get failure :code) ullage--cancelled)
    (message "Ullage: %s" (plist-get failure :message))))

(defun ullage--answer (_connection method params)
  "Answer the server's request METHOD with PARAMS."
  (cl-case method
    (workspace/configuration
     (vconcat (mapcar (lambda (_) ullage-settings) (plist-get params :items))))
    (window/showMessageRequest
     (lambda (reply) (ullage--decide params reply)))
    ((window/workDoneProgress/create client/registerCapability
      client/unregisterCapability)
     nil)
    (t (jsonrpc-error :code -32601 :message "Emacs knows no such request"))))

(defun ullage--decide (params reply)
  "Have the person choose from what PARAMS offer, and call REPLY with it."
  (let* ((titles (mapcar (lambda (action) (plist-get action :title))
                         (plist-get params :actions)))
         (answer (ullage--ask-person #'completing-read
                                     (concat (plist-get params :message) " ")
                                     titles nil t)))
    (funcall reply (and (member answer titles) (list :title answer)))))

(defun ullage--ask-person (ask &rest arguments)
  "What the person answers to ASK with ARGUMENTS, nil where that is nothing.
They may be in the middle of answering something else."
  (let ((enable-recursive-minibuffers t))
    (condition-case nil
        (apply ask arguments)
      ((quit error) nil))))

(defun ullage--hear (_connection method params)
  "Hand on the server's notification METHOD with PARAMS."
  (let ((listener (and (eq method '$/progress)
                       (gethash (plist-get params :token) ullage--listeners)))
        (hearer (alist-get method ullage--hearers)))
    (cond (listener (funcall listener (plist-get params :value)))
          (hearer (funcall hearer params)))))

(provide 'ullage-connection)
;;; ullage-connection.el ends here
