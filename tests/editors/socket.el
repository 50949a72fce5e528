;;; socket.el --- A test at the other end of a socket  -*- lexical-binding: t; -*-

;;; Commentary:

;; It asks for values, and waits for what is to come.  A line of JSON each.

;;; Code:

(require 'json)

(defun socket-evaluate (text)
  "The value of the expression TEXT where the person is."
  (with-current-buffer (window-buffer (selected-window))
    (eval (car (read-from-string text)) t)))

(defun socket-reply (client key value)
  "Send CLIENT the VALUE under KEY."
  (process-send-string
   client (concat (encode-coding-string (json-encode (list (cons key value))) 'utf-8)
                  "\n")))

(defun socket-watch (client condition until)
  "Tell CLIENT when CONDITION holds, or that it did not UNTIL then."
  (condition-case failure
      (let ((met (socket-evaluate condition)))
        (if (or met (time-less-p until nil))
            (socket-reply client "value" (if met t :json-false))
          (run-at-time 0.01 nil #'socket-watch client condition until)))
    (error (socket-reply client "failure" (error-message-string failure)))))

(defun socket-answer (client line)
  "Answer the LINE of CLIENT."
  (let ((asked (json-parse-string line :object-type 'alist)))
    (if-let ((condition (alist-get 'condition asked)))
        (socket-watch client condition
                      (time-add nil (alist-get 'patience asked)))
      (condition-case failure
          (socket-reply client "value" (socket-evaluate (alist-get 'lisp asked)))
        (error (socket-reply client "failure" (error-message-string failure)))))))

(let ((received ""))
  (make-network-process
   :name "socket" :server t :family 'local :service (getenv "EDITOR_SOCKET")
   :noquery t :coding 'utf-8-unix
   :filter (lambda (client text)
             (setq received (concat received text))
             (while (string-match "\n" received)
               (let ((line (substring received 0 (match-beginning 0))))
                 (setq received (substring received (match-end 0)))
                 (run-at-time 0 nil #'socket-answer client line))))))

;;; socket.el ends here
